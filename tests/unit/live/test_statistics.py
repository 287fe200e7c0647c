"""Rates and latency of late."""

import time

import pytest
from helpers.live import denoised, shot

from malle_rt.live.statistics import Meter, Rate


def test_the_rate_is_of_the_last_seconds():
    now = time.monotonic()
    old = [now - 100 + index for index in range(20)]
    recent = [now - 1 + index / 10 for index in range(11)]
    assert rate_of(old + recent) == pytest.approx(10)
    assert rate_of(old) == 0
    assert rate_of([]) == rate_of([now]) == 0


def rate_of(instants):
    rate = Rate()
    for instant in instants:
        rate.add(instant)
    return rate.fps()


def test_pictures_that_come_at_once_and_a_pause_are_no_high_rate():
    now, rate = time.monotonic(), Rate()
    for index in range(25):
        rate.add(now + index / 1000, index / 25)
    assert rate.fps(now + 0.03) == pytest.approx(25)
    assert rate.fps(now + 2) == pytest.approx(12, abs=0.2)


def test_the_meter_counts_what_comes_out():
    meter = Meter()
    assert meter.last is None
    for index in range(5):
        meter.add_out(denoised(shot(index)), late=index == 3)
    assert (meter.frames_out, meter.late, meter.last.pts) == (5, 1, 4)
    assert meter.late_now
    assert not Meter().late_now


def test_latency_is_in_milliseconds():
    meter = Meter()
    assert meter.latency.p95 == 0
    for milliseconds in range(1, 101):
        meter.add_age(milliseconds / 1000)
    assert meter.latency.p50 == pytest.approx(50, abs=1.5)
    assert meter.latency.p95 == pytest.approx(95, abs=1.5)


@pytest.mark.slow
def test_nothing_grows_without_bound():
    meter = Meter()
    for index in range(5000):
        meter.add_age(0.01)
        meter.add_out(denoised(shot(index % 10)), late=False)
    assert len(meter._ages) <= 1024
    assert len(meter._out._events) <= 1024
