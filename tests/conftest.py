"""What every test gets: the same random numbers, a gate for GPU tests, and a look for threads left behind."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import threading
import time

import helpers.second_generation
import numpy as np
import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip GPU tests without a GPU; with MALLE_REQUIRE_GPU=1 they fail instead: no machine passes by skipping."""
    if os.environ.get("MALLE_REQUIRE_GPU") == "1" or _has_gpu():
        return
    skip = pytest.mark.skip(reason="no NVIDIA GPU (MALLE_REQUIRE_GPU=1 makes this a failure)")
    for item in items:
        if item.get_closest_marker("gpu") is not None:
            item.add_marker(skip)


@pytest.fixture(autouse=True, scope="session")
def _no_settings_of_the_user():
    """What the person at this machine has set is no part of what is tested."""
    os.environ["MALLE_RT_CONFIG"] = ""


@pytest.fixture(autouse=True)
def _same_random_numbers() -> None:
    random.seed(0)
    np.random.seed(0)


@pytest.fixture(autouse=True)
def _no_threads_left():
    """A pipeline must not leave a thread behind, whatever happened to it."""
    yield
    end = time.monotonic() + 5
    while (left := _our_threads()) and time.monotonic() < end:
        time.sleep(0.02)
    assert not left, f"threads left behind: {left}"


@pytest.fixture(autouse=True)
def _no_processes_left(monkeypatch):
    """A test that fails between starting a process and ending it would leave it to disturb the next ones."""
    started: list[subprocess.Popen] = []
    begin = subprocess.Popen.__init__

    def noted(process, *args, **options):
        begin(process, *args, **options)
        started.append(process)

    monkeypatch.setattr(subprocess.Popen, "__init__", noted)
    yield
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait(10)


@pytest.fixture(scope="session")
def second_generation(tmp_path_factory):
    """What ``--model`` takes for the weights in training."""
    return helpers.second_generation.second_generation(tmp_path_factory.mktemp("next"))


@pytest.fixture(scope="session", params=["rt-s", "second"])
def any_generation(request):
    """What ``--model`` takes for a network of each generation."""
    return request.param if request.param == "rt-s" else request.getfixturevalue("second_generation")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("no mount program")
    if done.returncode:
        pytest.skip(f"may not mount a small file system: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def _our_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("malle-")]


def _has_gpu() -> bool:
    if shutil.which("nvidia-smi") is None:
        return False
    return subprocess.run(["nvidia-smi", "-L"], capture_output=True, check=False).returncode == 0
