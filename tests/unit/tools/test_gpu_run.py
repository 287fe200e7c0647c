"""The kit for half an hour on a GPU, rehearsed on the host implementation of the driver."""

import json
import signal
import subprocess
import sys
import time

import gpu_run
import pytest
from gpu_run import PART, SUMS, RunError, bring_back, join, pack, run_within
from helpers import cuda_host
from helpers.fakecuda import SOURCES, build_library

# What a child process runs first: our driver in place of NVIDIA's, with one device.
FAKE_GPU = """
import ctypes
fake = ctypes.CDLL({library!r}, mode=ctypes.RTLD_GLOBAL)
fake.fakecuda_set(b"devices", ctypes.c_longlong(1))
fake.fakecuda_kernels({kernels!r})
"""


@pytest.fixture
def small(monkeypatch):
    """Limits of a hundred bytes there, and of ten back."""
    monkeypatch.setattr(gpu_run, "MOST_THERE", 100)
    monkeypatch.setattr(gpu_run, "MOST_BACK", 10)


def write(path, size):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(range(size)))
    return path


def test_what_goes_there_is_packed_in_parts_that_fit_beside_the_checkout(tmp_path, small):
    clips = [
        write(tmp_path / "clips" / f"{name}.mkv", size) for name, size in (("a", 40), ("b", 30), ("c", 20))
    ]
    still = write(tmp_path / "one.png", 10)
    parts = pack(tmp_path / "packed", [tmp_path / "clips", still], checkout=40)
    assert [sum(file.stat().st_size for file in part.rglob("*.*")) for part in parts] == [40, 60]
    found = {file.name: file.read_bytes() for part in parts for file in part.rglob("*.*")}
    assert found == {path.name: path.read_bytes() for path in (*clips, still)}
    assert (parts[0] / "clips" / "a.mkv").is_file()


def test_what_cannot_be_packed_is_said(tmp_path, small):
    large = write(tmp_path / "large.mkv", 70)
    with pytest.raises(RunError, match="all that fits beside the checkout"):
        pack(tmp_path / "packed", [large], checkout=40)
    with pytest.raises(RunError, match=r"none\.mkv is not there"):
        pack(tmp_path / "packed", [tmp_path / "none.mkv"], checkout=40)
    with pytest.raises(RunError, match="exists: delete it"):
        pack(tmp_path, [large], checkout=0)
    assert not (tmp_path / "packed").exists()


def test_files_come_back_in_parts_and_are_made_whole(tmp_path, small):
    large, little = write(tmp_path / "last.pt", 25), write(tmp_path / "log.jsonl", 4)
    out = tmp_path / "out"
    written = bring_back([large, little, tmp_path / "none"], out)
    assert [path.name for path in written] == [f"last.pt{PART}0{i}" for i in range(3)] + ["log.jsonl", SUMS]
    assert all(path.stat().st_size <= 10 for path in written[:-1])
    assert [path.read_bytes() for path in join(out)] == [large.read_bytes(), little.read_bytes()]
    written[1].unlink()
    with pytest.raises(RunError, match=r"last\.pt is not what was sent"):
        join(out)
    with pytest.raises(RunError, match=f"has no {SUMS}"):
        join(tmp_path)


def test_more_than_may_come_back_is_refused(tmp_path, small):
    large = write(tmp_path / "last.pt", 75)
    with pytest.raises(RunError, match=r"8 files .* and 8 come back"):
        bring_back([large], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("obeys", "code"), [(True, 7), (False, -9)])
def test_a_command_ends_in_its_time(tmp_path, obeys, code):
    program = f"""
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7) if {obeys} else None)
open({str(tmp_path / "began")!r}, "w").close()
time.sleep(60)
"""
    begin = time.monotonic()
    assert run_within([sys.executable, "-c", program], 6.0, asked_before=2.0) == code
    assert time.monotonic() - begin < 20
    assert (tmp_path / "began").exists()


def test_a_training_is_ended_in_time_and_what_it_saved_comes_back(tmp_path, monkeypatch):
    """Of a training that is asked to end, the exit code is that of SIGTERM."""
    monkeypatch.setattr(gpu_run, "ROOT", tmp_path)
    asked = []

    def ended(command, seconds, *, asked_before):
        asked.append((command[2:], seconds, asked_before))
        write(tmp_path / "runs/gpu_run/last.pt", 5)
        return 128 + signal.SIGTERM

    monkeypatch.setattr(gpu_run, "run_within", ended)
    for _ in range(2):
        assert gpu_run.train(tmp_path / "out", 2.0, ["--preset", "rt-s"]) == 0
    (first, seconds, before), (second, _, _) = asked
    assert (seconds, before) == (120.0, gpu_run.ENDING)
    assert first[-2:] == ["--budget", "2.0"] and second[-1] == "--resume"
    assert join(tmp_path / "out")[0].read_bytes() == bytes(range(5))


@pytest.mark.slow
def test_everything_but_files_runs_without_what_a_bare_machine_lacks():
    gpu_run.dry()


@pytest.mark.slow
def test_the_suite_is_rehearsed_on_the_host(tmp_path, monkeypatch):
    """Each part in its own process; those that need torch with CUDA, or a tool, say so and stop no other."""
    pytest.importorskip("cuda.bindings")
    library = build_library(sorted(SOURCES.glob("*.cpp")), "libcuda.so.1", "-Wl,-soname,libcuda.so.1")
    site = FAKE_GPU.format(library=str(library), kernels=str(cuda_host.build()).encode())
    (tmp_path / "sitecustomize.py").write_text(site)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    command = [
        sys.executable,
        str(gpu_run.ROOT / "tools/gpu_run.py"),
        "measure",
        "--out",
        str(tmp_path / "out"),
    ]
    command += ["--minutes", "4", "--only", "machine", "backend", "rtx"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    (path,) = (tmp_path / "out").iterdir()
    found = json.loads(path.read_text())
    assert path.name == "host-implementation-of-cuda-0.json", done.stderr
    assert found["machine"]["ok"] and found["machine"]["result"]["architecture"] == "sm_89"
    assert "torch with CUDA" in found["backend"]["result"]["missing"][0]
    assert list(found) == ["machine", "backend", "rtx"]
