from __future__ import annotations

import shutil

import build_kernels
import pytest
from build_kernels import COMPILED, CSRC, SOURCES, BuildError, build, differences, find_nvcc, nvcc_version

pytestmark = pytest.mark.slow  # compiles


@pytest.fixture(scope="module")
def nvcc():
    try:
        return find_nvcc()
    except BuildError as exc:
        pytest.skip(str(exc))


@pytest.fixture
def sources(tmp_path):
    """A copy of the sources, to be changed."""
    folder = tmp_path / "sources"
    folder.mkdir()
    for name in SOURCES:
        shutil.copyfile(CSRC / name, folder / name)
    return folder


@pytest.fixture
def one_architecture(monkeypatch):
    monkeypatch.setattr(build_kernels, "ARCHITECTURES", (75,))


@pytest.fixture
def little(monkeypatch, one_architecture):
    """Compile the smaller source alone."""
    monkeypatch.setattr(build_kernels, "UNITS", ("planes.cu",))


def other_nvcc(folder, version):
    """A compiler of which nothing is known but its version."""
    path = folder / "nvcc"
    path.write_text(f"#!/bin/sh\necho 'Cuda compilation tools, release x, V{version}'\n")
    path.chmod(0o755)
    return path


def change(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_the_shipped_files_are_what_the_sources_compile_to(nvcc):
    """Half a minute: every architecture."""
    try:
        found = list(differences(nvcc, COMPILED))
    except BuildError as exc:
        if "only the same one can check them" not in str(exc):
            raise
        pytest.skip(str(exc))
    assert found == []


def test_a_changed_source_is_noticed(nvcc, little, sources, tmp_path):
    shipped = tmp_path / "compiled"
    build(nvcc, shipped, sources)
    assert list(differences(nvcc, shipped, sources)) == []
    change(sources / "planes.cu", "largest, 0.0F)", "largest, 1.0F)")
    (shipped / "sm_99.cubin").write_bytes(b"")
    assert list(differences(nvcc, shipped, sources)) == [
        "compute_75.ptx is not what the sources compile to",
        "manifest.json is not what the sources compile to",
        "sm_75.cubin is not what the sources compile to",
        "sm_99.cubin is shipped, but nothing compiles to it",
    ]


def test_a_failure_leaves_what_was_there(nvcc, little, sources, tmp_path):
    target = tmp_path / "compiled"
    target.mkdir()
    (target / "manifest.json").write_text("before")
    change(sources / "planes.cu", "rintf", "no_such_function")
    with pytest.raises(BuildError, match=r"nvcc failed: .*no_such_function"):
        build(nvcc, target, sources)
    assert [path.read_text() for path in target.iterdir()] == ["before"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["compiled", "sources"]


def test_a_kernel_that_spills_is_refused(nvcc, one_architecture, sources, tmp_path):
    change(sources / "malle_slice.cu", "(malle::kThreads, 2)", "(malle::kThreads, 4)")
    with pytest.raises(BuildError, match=r"malle_slice_\w+ has too few registers on sm_75 and spills"):
        build(nvcc, tmp_path / "compiled", sources)


def test_only_the_same_compiler_can_check(tmp_path):
    other = other_nvcc(tmp_path, "12.6.1")
    assert nvcc_version(other) == "12.6.1"
    with pytest.raises(
        BuildError, match=r"compiled by nvcc \d+\.\d+\.\d+, .* is 12\.6\.1: only the same one"
    ):
        list(differences(other, COMPILED))


def test_says_how_to_get_a_compiler(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(build_kernels.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BuildError, match=r"nvcc was not found: pip install 'malle-rt\[dev\]'"):
        find_nvcc()
    with pytest.raises(BuildError, match="is not there"):
        find_nvcc(tmp_path / "nvcc")


def test_there_must_be_something_to_check(tmp_path):
    with pytest.raises(BuildError, match="holds no kernels to check"):
        list(differences(other_nvcc(tmp_path, "13.0.88"), tmp_path / "nothing"))
