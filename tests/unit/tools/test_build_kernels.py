from __future__ import annotations

import shutil

import build_kernels
import pytest
from build_kernels import (
    COMPILED,
    CSRC,
    PTX,
    SOURCES,
    BuildError,
    assembled,
    build,
    differences,
    find_nvcc,
    nvcc_version,
    slice_counts,
    slice_patch,
)

from malle_rt.cuda.launches import SliceDims, slice_launch

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


@pytest.mark.parametrize("architecture", ["sm_75", "sm_103"])
def test_the_ptx_that_ships_is_assembled_for_gpus_without_a_cubin_of_their_own(nvcc, architecture):
    ptxas = nvcc.resolve().with_name("ptxas")
    (found,) = assembled(ptxas, COMPILED / PTX, [architecture])
    assert (found.failure, found.spills) == ("", 0)
    assert 0 < found.registers <= 128


def test_what_cannot_be_assembled_is_said(nvcc, tmp_path):
    bad = tmp_path / "bad.ptx"
    bad.write_text((COMPILED / PTX).read_text().replace(".version 7.0", ".version 99.0"))
    (found,) = assembled(nvcc.resolve().with_name("ptxas"), bad, ["sm_90"])
    assert found.failure.startswith("ptxas failed: ptxas fatal")


def test_the_slices_do_no_more_for_a_pixel_than_was_estimated():
    """Estimated for the luma in float16: 119 instructions of the machine, and 7.25 bytes that memory must move."""
    counts = {each.kernel: each for each in slice_counts((COMPILED / PTX).read_text())}
    assert len(counts) == 10
    luma = counts["malle_slice_f16_k5_s4"]
    assert luma.instructions < 140
    assert (luma.stored, luma.least) == (2, 7.25)
    assert luma.loaded <= 35  # mostly from the caches


@pytest.mark.parametrize(("size", "stride"), [(5, 4), (3, 2), (5, 2), (3, 4), (3, 1)])
def test_a_patch_is_what_the_launches_have(size, stride):
    """Threads of a launch times pixels of a thread: those of the picture, and the half stride above it."""
    dims = SliceDims.of((1, 1, 96 * stride, 128 * stride), (1, size**2 + 1, 96, 128), size)
    launch = slice_launch(0, 0, 0, dims, "f16")
    threads = launch.grid[0] * launch.block[0] * launch.grid[1] * launch.block[1]
    pixels = slice_patch(size, stride, 2) // (2 if stride == 1 else 1)
    assert 1 <= threads * pixels / (dims.height * dims.width) < 1.2
