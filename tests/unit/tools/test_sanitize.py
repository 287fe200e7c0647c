"""What tools refuse: a compiler that is not there, a flood of others. The sanitizers themselves take minutes."""

import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[3] / "tools"


def tool(name, *words):
    command = [sys.executable, str(TOOLS / name), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_without_a_compiler_it_says_so():
    done = tool("sanitize.py", "--compiler", "no-such-compiler")
    assert done.returncode == 2 and "no compiler no-such-compiler" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["http://192.0.2.1:8077/"],
        ["http://camera.example:80/"],
        ["http://127.0.0.1:8077/", "--viewers", "100000"],
    ],
)
def test_only_this_machine_is_flooded_and_not_without_bounds(words):
    assert tool("viewer_flood.py", *words).returncode == 2
