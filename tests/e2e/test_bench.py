"""``malle-rt bench`` as a user runs it; and run on backends that cheat, or end their process."""

import csv
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from helpers.sabotage import FRAUDS
from media import write_clip

pytestmark = pytest.mark.slow  # each starts the program

QUICK = ["--size", "192x128", "--seconds", "0.2", "--repeats", "2"]
TESTS = Path(__file__).parent.parent


def bench(*words, path=()):
    return subprocess.run(
        [sys.executable, "-m", "malle_rt", "bench", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([*map(str, path), str(TESTS.parent)])},
    )


@pytest.fixture
def sabotaged(tmp_path):
    """Runs the benchmark where every process's OpenVINO backend has been tampered with."""

    def run(code, *words):
        head = "import malle_rt.backends.openvino as room\n"
        (tmp_path / "sitecustomize.py").write_text(head + textwrap.dedent(code))
        return bench("--backend", "openvino", "--precision", "fp32", *QUICK, *words, path=[tmp_path, TESTS])

    return run


@pytest.mark.parametrize("kind", ["json", "csv", "report"])
def test_a_file_that_is_there_is_not_replaced_in_silence(tmp_path, kind):
    path = tmp_path / "mine.html"
    path.write_text("mine")
    done = bench(f"--{kind}", path)
    assert done.returncode == 2 and "is there already: give --overwrite" in done.stderr
    assert path.read_text() == "mine"


def test_all_outputs_and_what_changed(tmp_path):
    files = {kind: tmp_path / f"r.{kind}" for kind in ("json", "csv")}
    done = bench("--backend", "openvino", *QUICK, "--json", files["json"], "--csv", files["csv"])
    assert done.returncode == 0, done.stderr
    assert "openvino rt-s int8  192x128" in done.stdout
    assert "stages - overlap + idle = wall" in done.stdout
    found = json.loads(files["json"].read_text())
    assert found["schema"] == 1 and found["machine"]["processor"]
    assert [row["precision"] for row in found["rows"]] == ["int8", "fp32"]
    assert all(row["ok"] and row["repeats"] == 2 and row["gain_db"] > 6 for row in found["rows"])
    assert all(row["roofline"]["share"] > 0 for row in found["rows"])
    assert len(list(csv.DictReader(files["csv"].open()))) == 2
    again = bench("--backend", "openvino", "--precision", "int8", *QUICK, "--compare", files["json"])
    assert again.returncode == 0, again.stderr
    assert "1 rows in both" in again.stdout
    assert "only before: openvino rt-s fp32 192x128" in again.stdout


@pytest.mark.parametrize(("words", "tamper"), FRAUDS.items())
def test_a_network_that_did_not_run_is_a_failed_row_and_exit_code_1(sabotaged, words, tamper):
    done = sabotaged(
        f"""
        from helpers.sabotage import Fraud, {tamper.__name__}
        prepare = room.OpenVinoBackend.prepare
        class Real:
            def __init__(self, backend):
                self.info = backend.info
                self.prepare = lambda shape: prepare(backend, shape)
        room.OpenVinoBackend.prepare = lambda self, shape: Fraud(Real(self), {tamper.__name__}).prepare(shape)
        """
    )
    assert done.returncode == 1, done.stderr
    assert "FAILED: openvino rt-s fp32 192x128" in done.stdout
    assert words in done.stdout


def test_a_process_that_ends_is_a_row_and_not_the_end(sabotaged, tmp_path):
    done = sabotaged(
        """
        import os
        room.OpenVinoBackend.prepare = lambda self, shape: os.abort()
        """,
        *("--peers", "--json", tmp_path / "r.json"),
    )
    assert done.returncode == 1
    assert "FAILED: openvino rt-s fp32 192x128: the process ended with signal SIGABRT" in done.stdout
    peers = [row for row in json.loads((tmp_path / "r.json").read_text())["rows"] if row["kind"] == "peer"]
    assert peers and peers[0]["ok"]


def test_a_backend_asked_for_by_name_must_run():
    done = bench("--backend", "tensorrt", "--precision", "fp16", *QUICK)
    if done.returncode == 0:
        pytest.skip("TensorRT runs here")
    assert done.returncode == 1
    assert "FAILED: tensorrt rt-s fp16 192x128" in done.stdout


def test_an_own_file_is_transcoded_at_its_size(tmp_path):
    film = tmp_path / "film.nut"
    write_clip(film, frames=20, size=(128, 96))
    done = bench("--backend", "openvino", "--precision", "fp32", "--input", film, *QUICK[2:])
    assert done.returncode == 0, done.stderr
    assert "openvino rt-s fp32  128x96" in done.stdout


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--size", "5k"], "no size '5k'"),
        (["--backend", "warp"], "backend must be one of"),
        (["--seconds", "0"], "seconds must be more than 0"),
        (["--report", "r.pdf"], "a report ends in .html or .png"),
        (["--json", "no/such/folder/r.json"], "there is no folder"),
        (["--compare", "no-such.json"], "is not a benchmark"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_measured(words, reason):
    done = bench(*words)
    assert done.returncode == 2
    assert reason in done.stderr
