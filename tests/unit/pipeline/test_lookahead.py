"""Frames in flight: how many, in which order, and that packets keep their places."""

import pytest

from malle_rt.errors import PipelineError
from malle_rt.frame import Packet
from malle_rt.media.synthetic import CollectSink, SyntheticSource, read_index
from malle_rt.pipeline import Pipeline, PipelineConfig
from malle_rt.pipeline.lookahead import Lookahead
from malle_rt.pipeline.stats import Stats


class Device:
    """Keeps frames in flight, as a GPU does; notes how many at most, and the order in which they are asked for."""

    def __init__(self, ahead: int, *, fail_on: int | None = None) -> None:
        self.ahead = ahead
        self.most = 0
        self._fail_on = fail_on
        self._flying = []

    def start(self, frame):
        index = read_index(frame)
        self._flying.append(index)
        self.most = max(self.most, len(self._flying))

        def finish():
            if index == self._fail_on:
                raise RuntimeError("the GPU fell off the bus")
            assert self._flying.pop(0) == index
            return frame

        return finish

    def close(self) -> None:
        self._flying = None


@pytest.mark.parametrize("ahead", [0, 1, 3])
def test_frames_come_out_in_order_with_no_more_than_allowed_in_flight(ahead):
    device, sink = Device(ahead), CollectSink()
    report = Pipeline(SyntheticSource(40, (64, 48)), device, sink).run()
    assert [read_index(frame) for frame in sink.frames] == list(range(40))
    assert report.frames_out == 40
    assert 1 <= device.most <= ahead + 1


def test_keeps_the_device_busy_while_frames_wait():
    device = Device(3)
    inside = Lookahead(device, Stats())
    for frame in list(SyntheticSource(4, (64, 48))):
        assert not inside.full
        inside.put(frame)
    assert inside.full
    assert device.most == 4


def test_packets_keep_their_place_between_frames():
    first, second = list(SyntheticSource(2, (64, 48)))
    packets = [Packet("a"), Packet("b"), Packet("c")]
    inside = Lookahead(Device(3), Stats())
    given = [packets[0], first, packets[1], second, packets[2]]
    for item in given:
        inside.put(item)
    assert [inside.take() for _ in given] == given


def test_a_packet_with_nothing_before_it_is_not_held_back():
    inside = Lookahead(Device(3), Stats())
    inside.put(Packet("sound"))
    assert inside.full


def test_packets_do_not_pile_up_behind_a_frame():
    inside = Lookahead(Device(3), Stats())
    inside.put(next(iter(SyntheticSource(1, (64, 48)))))
    while not inside.full:
        inside.put(Packet("sound"))
    assert len(inside) < 100


def test_a_result_that_fails_ends_the_pipeline_with_its_reason():
    pipeline = Pipeline(
        SyntheticSource(40, (64, 48)), Device(3, fail_on=5), CollectSink(), PipelineConfig(depth=2)
    )
    with pytest.raises(PipelineError, match="malle-denoise: the GPU fell off the bus"):
        pipeline.run()
