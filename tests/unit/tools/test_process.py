import sys

import pytest
from yardstick.process import measure


def python(code):
    return [sys.executable, "-I", "-S", "-c", code]


def test_measures_wall_clock_and_cpu_time_apart():
    usage = measure(python("import time; time.sleep(0.3); print('done')"))
    assert usage.stdout == "done\n"
    assert usage.seconds > 0.3 > usage.cpu_seconds


def test_memory_is_the_programs_own_not_its_starters():
    ballast = bytearray(256 << 20)
    ballast[::4096] = b"x" * len(ballast[::4096])
    assert measure(python("pass")).peak_mib < 64
    assert measure(python("x = bytearray(128 << 20); x[::4096] = b'x' * len(x[::4096])")).peak_mib > 128


def test_a_failure_says_what_the_program_said():
    with pytest.raises(RuntimeError, match=r"(?s)ended with code 3:.*no such luck"):
        measure(python("import sys; print('no such luck', file=sys.stderr); sys.exit(3)"))
