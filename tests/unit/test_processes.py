"""What a test starts does not outlive it: the first test leaves a process, the second one looks for it."""

import subprocess
import sys

import pytest

LEFT = []


def test_a_process_that_nobody_ends():
    LEFT.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]))
    assert LEFT[0].poll() is None


def test_has_ended_with_its_test():
    if not LEFT:
        pytest.skip("the test before did not run")
    assert LEFT[0].returncode is not None
