import hashlib

import pytest

from malle_rt.errors import BackendError, ConfigError
from malle_rt.models import (
    PRECISIONS,
    engines_folder,
    float_graph,
    graph_file,
    graph_precisions,
    model_digest,
    model_file,
    model_names,
    record_checksums,
)


def test_a_model_is_listed_once_however_many_graphs_it_has():
    assert "rt-s" in model_names()
    assert not any("." in name for name in model_names())


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_each_precision_has_its_graph(precision):
    assert graph_file("rt-s", precision) == engines_folder() / f"rt-s{PRECISIONS[precision]}"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr("malle_rt.models.engines_folder", lambda: tmp_path)
    return tmp_path


def test_a_network_without_a_float32_graph_has_its_float16_one_widened(folder):
    (folder / "rt-y.f16.onnx").touch()
    assert model_names() == ["rt-y"]
    assert graph_precisions("rt-y") == ["fp16"]
    assert float_graph("rt-y") == folder / "rt-y.f16.onnx"
    with pytest.raises(ConfigError, match="model rt-y has no fp32 graph; it has: fp16"):
        graph_file("rt-y", "fp32")
    (folder / "rt-y.onnx").touch()
    assert float_graph("rt-y") == folder / "rt-y.onnx"


def test_a_name_with_a_slash_is_the_path_of_another_network(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    name = str(elsewhere / "rt-y")
    with pytest.raises(
        ConfigError, match=rf"no model {name}: none of rt-y with .*\.onnx.* is in that folder"
    ):
        graph_file(name, "fp32")
    (elsewhere / "rt-y.onnx").write_bytes(b"one")
    (elsewhere / "rt-y.safetensors").touch()
    assert graph_file(name, "fp32") == float_graph(name) == elsewhere / "rt-y.onnx"
    assert model_file(name, ".safetensors") == elsewhere / "rt-y.safetensors"
    assert graph_precisions(name) == ["fp32"]
    assert model_names() == []
    before = model_digest(name)
    (elsewhere / "rt-y.onnx").write_bytes(b"other")
    assert before and model_digest(name) != before
    with pytest.raises(ConfigError, match=f"model {name} has no int8 graph; it has: fp32"):
        graph_file(name, "int8")


def test_a_file_that_is_missing_is_named(folder):
    (folder / "rt-y.onnx").touch()
    with pytest.raises(ConfigError, match=r"model rt-y has no rt-y\.safetensors: reinstall malle-rt"):
        model_file("rt-y", ".safetensors")


def test_unknown_ones_are_named():
    with pytest.raises(ConfigError, match="no precision 'fp8'; there are: fp16, int8, fp32"):
        graph_file("rt-s", "fp8")
    with pytest.raises(ConfigError, match="no model 'rt-x'"):
        graph_file("rt-x", "fp16")


def test_every_shipped_file_has_its_checksum():
    """After files were made by hand: ``cd engines && sha256sum *.npz *.onnx *.safetensors > SHA256SUMS``."""
    folder = engines_folder()
    listed = dict(reversed(line.split("  ")) for line in (folder / "SHA256SUMS").read_text().splitlines())
    files = sorted(path for suffix in ("*.npz", "*.onnx", "*.safetensors") for path in folder.glob(suffix))
    assert listed == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize("name", ["rt-y.onnx", "rt-y.safetensors"])
def test_a_file_with_flipped_bits_is_refused(folder, name):
    for each in ("rt-y.onnx", "rt-y.safetensors"):
        (folder / each).write_bytes(bytes(range(256)))
    record_checksums(folder / "rt-y.onnx", folder / "rt-y.safetensors")
    assert graph_file("rt-y", "fp32") and model_file("rt-y", ".safetensors")
    content = bytearray((folder / name).read_bytes())
    content[100] ^= 8
    (folder / name).write_bytes(content)
    with pytest.raises(BackendError, match=rf"{name} is not the file of this release"):
        graph_file("rt-y", "fp32")
        model_file("rt-y", ".safetensors")
    record_checksums(folder / name)
    assert graph_file("rt-y", "fp32") and model_file("rt-y", ".safetensors")
