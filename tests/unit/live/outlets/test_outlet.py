"""An outlet never holds up what feeds it, and its troubles stay its own."""

import time

from helpers.outlets import GatedSink, bare_template, shots, until

from malle_rt.errors import SinkError
from malle_rt.frame import Packet
from malle_rt.live.outlets.outlet import LiveSink, Outlet
from malle_rt.live.outlets.push import PushSink
from malle_rt.media.synthetic import CollectSink


def test_everything_arrives_in_order_where_the_sink_keeps_up():
    sink = CollectSink()
    outlet = Outlet("copy", sink)
    given = list(shots(20))
    for number, shot in enumerate(given):
        outlet.put(shot)
        outlet.put(Packet(number))
        assert until(lambda taken=number + 1: len(sink.items) == 2 * taken)
    assert outlet.running
    assert outlet.close()
    assert sink.frames == given
    assert [item.payload for item in sink.items if isinstance(item, Packet)] == list(range(20))
    assert (outlet.frames, outlet.dropped, outlet.dropped_packets) == (20, 0, 0)
    assert (sink.finished, sink.aborted, outlet.problem, outlet.running) == (True, False, None, False)


def test_a_slow_sink_loses_its_oldest_frames_and_holds_nobody_up():
    sink = GatedSink()
    outlet = Outlet("slow", sink, depth=3)
    given = list(shots(50))
    outlet.put(given[0])
    assert until(lambda: sink.gate._value == 0 and len(outlet._channel) == 0)
    slowest = 0.0
    for shot in given[1:]:
        began = time.perf_counter()
        outlet.put(shot)
        slowest = max(slowest, time.perf_counter() - began)
    assert slowest < 0.1  # nothing is waited for; the rest is for a busy machine
    for _ in given:
        sink.gate.release()
    assert outlet.close()
    assert sink.items == [given[0], *given[-3:]]
    assert (outlet.frames, outlet.dropped) == (4, 46)


def test_sound_is_kept_up_to_a_bound_and_then_dropped():
    sink = GatedSink()
    outlet = Outlet("slow", sink, depth=2)
    began = time.perf_counter()
    for number in range(500):
        outlet.put(Packet(number))
    assert time.perf_counter() - began < 1
    for _ in range(500):
        sink.gate.release()
    assert outlet.close()
    kept = [packet.payload for packet in sink.items]
    assert kept == list(range(len(kept)))
    assert 256 <= len(kept) <= 257  # one may have been with the sink already
    assert outlet.dropped_packets == 500 - len(kept)


class BreaksSink(CollectSink):
    def write(self, item):
        super().write(item)
        if len(self.items) == 3:
            raise SinkError("out.mkv: the disk is full\nand more")


def test_a_broken_sink_is_given_up_and_the_rest_is_counted():
    sink = BreaksSink()
    outlet = Outlet("recording", sink)
    for shot in shots(3):
        outlet.put(shot)
    assert until(lambda: not outlet.running)
    for shot in shots(5):
        outlet.put(shot)
    assert outlet.problem == "out.mkv: the disk is full"
    assert (sink.aborted, sink.finished) == (True, False)
    assert (outlet.frames, outlet.dropped) == (2, 5)
    assert outlet.close()


def test_a_sink_that_hangs_is_left_behind():
    sink = GatedSink()
    outlet = Outlet("stuck", sink)
    outlet.put(next(shots(1)))
    began = time.perf_counter()
    assert not outlet.close(0.2)
    assert time.perf_counter() - began < 1
    assert outlet.running
    sink.gate.release()
    assert outlet.close(10)


def test_what_connects_again_is_a_live_sink():
    assert isinstance(PushSink("udp://127.0.0.1:9", bare_template()), LiveSink)
    assert not isinstance(CollectSink(), LiveSink)
