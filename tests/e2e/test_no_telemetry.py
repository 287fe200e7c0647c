"""No command and no extra speaks to the network or writes into the user's home unless the user named it."""

import importlib.util
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from media import write_clip

pytestmark = pytest.mark.slow  # each starts the program

# Notes every look-up and connection of the process and, being found by each Python, of its children.
RECORDER = """
    import os, sys, traceback

    def note(event, args):
        if event in ("socket.getaddrinfo", "socket.gethostbyname") or (
            event in ("socket.connect", "socket.sendto") and isinstance(args[1], tuple)
        ):
            with open(os.environ["MALLE_TEST_SOCKETS"], "a") as log:
                log.write(f"{event} {args!r}" + "".join(traceback.format_stack(limit=6)) + chr(10))

    sys.addaudithook(note)
"""
EXTRAS = {
    "torch": "torch, safetensors, onnx, onnxscript",
    "cuda": "cuda.bindings.driver",
    "rtx": "tensorrt_rtx",
    "web": "aiohttp.web",
    "virtual-camera": "pyvirtualcam",
    "report": "matplotlib.pyplot",
}


class Watched:
    """Runs Python where every connection is recorded, in an empty home and with telemetry installed."""

    def __init__(self, folder):
        self.home = folder / "home"
        self.home.mkdir()
        self.sockets = folder / "sockets.txt"
        path = folder / "path"
        (path / "openvino_telemetry").mkdir(parents=True)
        (path / "sitecustomize.py").write_text(textwrap.dedent(RECORDER))
        # What a user's environment may hold; to import it is to fail the test.
        (path / "openvino_telemetry" / "__init__.py").write_text(
            "import os\nopen(os.environ['MALLE_TEST_SOCKETS'], 'a').write('telemetry was imported\\n')\n"
        )
        (path / "openvino_telemetry" / "backend").mkdir()
        (path / "openvino_telemetry" / "backend" / "__init__.py").write_text("")
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("XDG_")},
            "HOME": str(self.home),
            "MALLE_TEST_SOCKETS": str(self.sockets),
            "PYTHONPATH": os.pathsep.join([str(path), str(Path(__file__).parents[2])]),
        }

    def python(self, *words, below=()):
        return subprocess.run(
            [*below, sys.executable, *map(str, words)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env=self.environment,
        )

    def found(self):
        return self.sockets.read_text() if self.sockets.exists() else ""


@pytest.fixture
def watched(tmp_path):
    return Watched(tmp_path)


@pytest.fixture
def clip(tmp_path):
    return write_clip(tmp_path / "clip.mkv", frames=3, size=(96, 64))


def command(name, folder):
    return {
        "transcode": ["transcode", folder / "clip.mkv", folder / "out.mkv"],
        "webcam": ["webcam", "--no-window", "--device", folder / "clip.mkv", "--record", folder / "live.mkv"],
        "bench": ["bench", "--model", "rt-s", "--size", "96x64", "--precision", "int8", "--seconds", "0.2"],
        "doctor": ["doctor"],
    }[name]


def test_the_recorder_sees_a_connection(watched):
    code = "import socket; socket.create_connection(('127.0.0.1', 1))"
    watched.python("-c", code)
    assert "socket.getaddrinfo" in watched.found() and "socket.connect" in watched.found()


@pytest.mark.parametrize("name", ["transcode", "webcam", "bench", "doctor"])
@pytest.mark.usefixtures("clip")
def test_commands_connect_nowhere_and_leave_the_home_empty(watched, tmp_path, name):
    done = watched.python("-m", "malle_rt", *command(name, tmp_path))
    assert done.returncode == 0 or name == "doctor", done.stderr
    assert watched.found() == ""
    assert list(watched.home.rglob("*")) == []


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
@pytest.mark.usefixtures("clip")
def test_libraries_below_python_connect_nowhere_either(watched, tmp_path):
    trace = tmp_path / "trace.txt"
    tracing = ["strace", "-f", "-qq", "-e", "trace=connect,sendto", "-o", str(trace)]
    if subprocess.run([*tracing, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine forbids strace")
    done = watched.python("-m", "malle_rt", *command("transcode", tmp_path), below=tracing)
    assert done.returncode == 0, done.stderr
    assert "AF_INET" not in trace.read_text()


@pytest.mark.parametrize("extra", EXTRAS)
def test_extras_connect_nowhere_when_imported(watched, extra):
    modules = EXTRAS[extra]
    if any(importlib.util.find_spec(name.strip().split(".")[0]) is None for name in modules.split(",")):
        pytest.skip(f"the extra {extra} is not installed")
    done = watched.python("-c", f"import {modules}")
    assert done.returncode == 0 or extra in ("rtx", "cuda"), done.stderr
    assert watched.found() == ""
