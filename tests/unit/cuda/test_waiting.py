"""Latency of a wait: the clock and the pauses are the test's own."""

import pytest

from malle_rt.cuda import waiting
from malle_rt.cuda.waiting import wait_until
from malle_rt.errors import KernelError


class Clock:
    """A question costs 2 us, a pause what was asked for and the 60 us of a system's timer."""

    def __init__(self):
        self.now, self.pauses = 0.0, []

    def monotonic(self):
        self.now += 2e-6
        return self.now

    def sleep(self, seconds):
        self.pauses.append(seconds)
        self.now += seconds + 60e-6


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(waiting, "time", made)
    return made


def test_work_that_is_nearly_done_is_seen_within_microseconds(clock):
    wait_until(lambda: clock.now >= 90e-6, "a frame", 1)
    assert not clock.pauses
    assert clock.now < 95e-6


def test_long_work_costs_few_questions(clock):
    asked = []
    wait_until(lambda: asked.append(None) or clock.now >= 20e-3, "a frame", 1)
    assert len(asked) < 150
    assert max(clock.pauses) <= 200e-6


def test_has_an_end(clock):
    with pytest.raises(KernelError, match=r"waited 0\.5 s for a frame"):
        wait_until(lambda: False, "a frame", 0.5)
