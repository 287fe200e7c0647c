"""``malle-rt build`` as users run it."""

import json
import os
import subprocess
import sys

import pytest

from malle_rt.cuda.opening import cuda_problem
from malle_rt.models import model_names

pytestmark = pytest.mark.slow  # each starts the program

pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed: pip install 'malle-rt[rtx]'")


@pytest.fixture
def build(tmp_path):
    """Runs the command with a cache folder of its own."""

    def run(*words):
        return subprocess.run(
            [sys.executable, "-m", "malle_rt", "build", *words],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            cwd=tmp_path,
            env=os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")},
        )

    return run


def test_into_the_cache_once(build, tmp_path):
    first = build("--backend", "tensorrt-rtx", "--profile", "360p")
    assert first.returncode == 0, first.stderr
    assert "backend: TensorRT-RTX " in first.stdout
    assert "building: there is no engine for it yet" in first.stdout
    assert "contains 5 malle::MalleSlice plugins" in first.stdout
    engines = list((tmp_path / "cache/malle-rt/engines").glob("rt-s-fp16-360p-tensorrt-rtx_*.engine"))
    assert len(engines) == 1
    again = build("--backend", "tensorrt-rtx", "--profile", "360p")
    assert again.returncode == 0, again.stderr
    assert f"up to date: {engines[0]}" in again.stdout
    forced = build("--backend", "tensorrt-rtx", "--profile", "360p", "--force")
    assert "building: asked for" in forced.stdout


@pytest.mark.skipif(cuda_problem() is None, reason="there is a GPU here")
def test_says_that_nothing_was_run_without_a_gpu(build):
    done = build("--profile", "64x64")
    assert done.returncode == 0, done.stderr
    assert "without a GPU: no NVIDIA driver" in done.stdout
    assert "not run: there is no GPU here" in done.stdout


def test_to_a_file_with_its_description(build, tmp_path):
    done = build("--profile", "64x64", "--precision", "fp32", "--output", "my.engine")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("wrote my.engine") == 1
    described = json.loads((tmp_path / "my.engine.json").read_text())["engine"]
    assert (described["model"], described["precision"], described["profile"]) == ("rt-s", "fp32", "64x64")
    refused = build("--profile", "64x64", "--output", "my.engine")
    assert refused.returncode == 2
    assert refused.stderr == "malle-rt: error: my.engine exists. --overwrite replaces it\n"
    assert build("--profile", "64x64", "--output", "my.engine", "--force", "-q").returncode == 0


def test_quiet_prints_nothing(build):
    done = build("--profile", "64x64", "-q")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (
            ["--profile", "5k"],
            2,
            "no profile '5k'; there are: 360p, 720p, 1080p, 4k, photo, or a size such as 1280x720",
        ),
        (["--backend", "nope"], 2, "no TensorRT flavour 'nope'; there are: tensorrt, tensorrt-rtx"),
        (["--model", "rt-x"], 2, f"no model 'rt-x'; there are: {', '.join(model_names())}"),
        (["--precision", "bf16"], 2, "no precision 'bf16'; there are: fp16, int8, fp32"),
        (["--output", "nowhere/my.engine"], 2, "there is no folder nowhere to write my.engine to"),
    ],
)
def test_what_cannot_work_is_one_line(build, words, code, message):
    done = build(*words)
    assert done.returncode == code
    assert done.stderr == f"malle-rt: error: {message}\n"


@pytest.mark.skipif(
    subprocess.run([sys.executable, "-c", "import tensorrt"], capture_output=True, check=False).returncode
    == 0,
    reason="TensorRT is installed",
)
def test_a_missing_flavour_says_how_to_get_it(build):
    done = build("--backend", "tensorrt")
    assert done.returncode == 1
    assert done.stderr.startswith("malle-rt: error: backend 'tensorrt' needs TensorRT")
    assert done.stderr.count("\n") == 1


def test_a_cache_that_others_can_write_to_is_refused(build, tmp_path):
    folder = tmp_path / "cache/malle-rt/engines"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    done = build("--profile", "64x64")
    assert done.returncode == 1
    assert f"chmod go-w {folder}" in done.stderr
