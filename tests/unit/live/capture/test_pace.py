import time
from fractions import Fraction

import pytest

from malle_rt.live.capture.stream import Pace

FRAME = Fraction(1, 50)


def test_frames_are_due_at_their_timestamps():
    pace = Pace()
    due = [pace.wait(100 + index * FRAME) for index in range(10)]
    assert time.monotonic() >= due[-1]
    assert [instant - due[0] for instant in due] == pytest.approx([index / 50 for index in range(10)])


def test_lateness_does_not_add_up():
    pace = Pace()
    due = [pace.wait(Fraction(0))]
    time.sleep(0.2)  # a slow picture
    begin = time.monotonic()
    due += [pace.wait(index * FRAME) for index in range(1, 10)]
    assert time.monotonic() - begin < 0.1, "late frames go at once"
    assert due[-1] - due[0] == pytest.approx(0.18)


def test_a_reader_far_behind_starts_anew():
    pace = Pace()
    pace.wait(Fraction(0))
    begin = time.monotonic()
    pace.wait(Fraction(-5))  # as if the clock were 5 s further
    due = pace.wait(-5 + FRAME)
    assert due == pytest.approx(begin + 0.02, abs=0.02)


@pytest.mark.slow
def test_a_gap_takes_a_second_at_most():
    pace = Pace()
    pace.wait(Fraction(0))
    begin = time.monotonic()
    due = pace.wait(Fraction(3600))
    assert due - begin == pytest.approx(1, abs=0.05)
    assert pace.wait(3600 + FRAME) - due == pytest.approx(0.02)
