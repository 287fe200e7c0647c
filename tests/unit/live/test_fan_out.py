"""One stream of shots to everybody who wants it."""

import threading
import time

import pytest
from helpers.live import denoised, shot

from malle_rt.errors import SinkError
from malle_rt.frame import Packet
from malle_rt.live.fan_out import FanOut
from malle_rt.live.frame import Latest
from malle_rt.live.outlets.outlet import Outlet
from malle_rt.live.statistics import Meter
from malle_rt.media.synthetic import CollectSink


def fan(max_latency=None, measures=False):
    latest, meter = Latest(), Meter()
    return FanOut(latest, meter, max_latency=max_latency, measures=measures), latest, meter


class Stuck(CollectSink):
    """Takes one item and does not come back before it is let go."""

    def __init__(self):
        super().__init__()
        self.go = threading.Event()

    def write(self, item):
        self.go.wait(30)
        super().write(item)


class Broken(CollectSink):
    def write(self, item):
        raise SinkError("the disk is full. Free some space")


def test_everybody_gets_everything_and_viewers_the_newest():
    fan_out, latest, meter = fan()
    sinks = [CollectSink(), CollectSink()]
    for number, sink in enumerate(sinks):
        fan_out.add(Outlet(f"sink {number}", sink, depth=8))
    shots = [denoised(shot(index)) for index in range(5)]
    for each in shots:
        fan_out.write(each)
    fan_out.write(Packet("sound"))
    fan_out.finish()
    for sink in sinks:
        assert sink.items[:5] == shots
        assert sink.items[5].payload == "sound"
        assert sink.finished
    assert latest.wait(0, 0)[1] is shots[4]
    assert meter.frames_out == 5


def test_a_removed_outlet_gets_no_more():
    fan_out, _, _ = fan()
    sink = CollectSink()
    outlet = Outlet("sink", sink)
    fan_out.add(outlet)
    fan_out.write(denoised(shot(0)))
    fan_out.remove(outlet)
    fan_out.remove(outlet)
    fan_out.write(denoised(shot(1)))
    outlet.close()
    assert [frame.pts for frame in sink.frames] == [0]


@pytest.mark.slow
def test_a_stuck_or_broken_outlet_holds_up_nobody():
    fan_out, latest, _ = fan()
    stuck, good = Stuck(), CollectSink()
    outlets = [Outlet("stuck", stuck, depth=2), Outlet("broken", Broken()), Outlet("good", good, depth=100)]
    for outlet in outlets:
        fan_out.add(outlet)
    begin = time.monotonic()
    for index in range(60):
        fan_out.write(denoised(shot(index)))
    assert time.monotonic() - begin < 1
    fan_out.finish()
    assert time.monotonic() - begin < 4  # the stuck one was not waited for without end
    assert outlets[0].running
    assert outlets[1].problem == "the disk is full. Free some space"
    assert [frame.pts for frame in good.frames] == list(range(60))
    assert latest.wait(0, 0)[1].pts == 59
    stuck.go.set()
    assert outlets[0].close(5)


def test_what_is_too_old_is_counted_and_not_shown():
    fan_out, latest, meter = fan(max_latency=0.1)
    sink = CollectSink()
    fan_out.add(Outlet("sink", sink))
    fan_out.write(denoised(shot(0)))
    fan_out.write(denoised(shot(1, captured=time.monotonic() - 0.2)))
    fan_out.finish()
    assert latest.wait(0, 0)[1].pts == 0
    assert (meter.frames_out, meter.late) == (2, 1)
    assert len(sink.frames) == 2  # a recording misses nothing for that


@pytest.mark.parametrize("measures", [True, False])
def test_the_way_ends_here_only_where_nobody_displays(measures):
    fan_out, _, meter = fan(measures=measures)
    fan_out.write(denoised(shot(0, captured=time.monotonic() - 0.05)))
    assert (meter.latency.p50 >= 50) == measures


def test_after_a_failure_outlets_are_finished_too():
    fan_out, _, _ = fan()
    sink = CollectSink()
    fan_out.add(Outlet("sink", sink))
    fan_out.write(denoised(shot(0)))
    fan_out.abort()
    assert sink.finished
