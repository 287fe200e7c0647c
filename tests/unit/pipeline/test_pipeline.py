"""The whole pipeline: order, failures in each stage, stopping, and that no thread stays behind."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import pytest

from malle_rt.errors import PipelineError, SinkError, SourceError
from malle_rt.frame import Frame
from malle_rt.media.synthetic import CollectSink, SyntheticSource, read_index
from malle_rt.pipeline import Pipeline, PipelineConfig, Progress
from malle_rt.pipeline.channel import Channel

SHALLOW = PipelineConfig(depth=2)


class Through:
    """A denoiser that changes nothing, slowly if asked to; fails on one frame if asked to."""

    def __init__(self, *, fail_on: int | None = None, seconds: float = 0.0) -> None:
        self.closed = 0
        self.seen = 0
        self._fail_on = fail_on
        self._seconds = seconds

    ahead = 0

    def start(self, frame: Frame) -> Callable[[], Frame]:
        self.seen += 1
        if self.seen == self._fail_on:
            raise ValueError("the network fell over")
        time.sleep(self._seconds)
        return lambda: replace(frame)

    def close(self) -> None:
        self.closed += 1


class FailingSource(SyntheticSource):
    """Gives two frames and then fails; notes that it was closed."""

    closed = 0

    def __iter__(self):
        yield from (self.clean(0), self.clean(1))
        raise SourceError("cam: unplugged. Plug it in")

    def close(self) -> None:
        self.closed += 1


class FailingSink(CollectSink):
    """Fails on the third frame, or at the end."""

    def __init__(self, *, at_end: bool = False) -> None:
        super().__init__()
        self._at_end = at_end

    def write(self, item) -> None:
        if not self._at_end and len(self.items) == 2:
            raise SinkError("out.mkv: the disk is full. Free some space")
        super().write(item)

    def finish(self) -> None:
        raise SinkError("out.mkv: cannot be verified")


def run_bounded(pipeline: Pipeline, seconds: float = 20.0, **arguments):
    """Run in a thread, so that a deadlock fails the test instead of hanging it."""
    outcome = []

    def work():
        try:
            outcome.append(pipeline.run(**arguments))
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), "the pipeline hangs"
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]


def test_every_frame_comes_through_once_and_in_order():
    sink, denoiser = CollectSink(), Through()
    report = run_bounded(Pipeline(SyntheticSource(60, (32, 24)), denoiser, sink, SHALLOW))
    assert [read_index(frame) for frame in sink.frames] == list(range(60))
    assert (report.frames_in, report.frames_out, report.dropped, report.stopped) == (60, 60, 0, False)
    assert sink.finished and not sink.aborted
    assert denoiser.closed == 1
    assert report.position == Fraction(59 * 1001, 30000)


def test_a_failing_source_ends_the_run_and_keeps_its_text():
    source, denoiser, sink = FailingSource(200, (32, 24)), Through(), CollectSink()
    with pytest.raises(PipelineError, match=r"^cam: unplugged. Plug it in") as caught:
        run_bounded(Pipeline(source, denoiser, sink, SHALLOW))
    assert isinstance(caught.value.__cause__, SourceError)
    assert caught.value.stage == "malle-source"
    assert sink.aborted and not sink.finished
    assert (source.closed, denoiser.closed) == (1, 1)


def test_a_failing_denoiser_ends_the_run():
    sink, denoiser = CollectSink(), Through(fail_on=3)
    with pytest.raises(PipelineError, match=r"malle-denoise: the network fell over") as caught:
        run_bounded(Pipeline(SyntheticSource(200, (32, 24)), denoiser, sink, SHALLOW))
    assert isinstance(caught.value.__cause__, ValueError)
    assert sink.aborted and not sink.finished
    assert denoiser.seen == 3
    assert denoiser.closed == 1


def test_a_failing_sink_ends_the_run():
    sink, denoiser = FailingSink(), Through()
    with pytest.raises(PipelineError, match=r"^out.mkv: the disk is full"):
        run_bounded(Pipeline(SyntheticSource(200, (32, 24)), denoiser, sink, SHALLOW))
    assert sink.aborted
    assert denoiser.seen < 20, "the stages before went on working"
    assert denoiser.closed == 1


def test_a_sink_that_cannot_finish_fails_the_run_and_is_given_up():
    sink = FailingSink(at_end=True)
    with pytest.raises(PipelineError, match=r"^out.mkv: cannot be verified"):
        run_bounded(Pipeline(SyntheticSource(5, (32, 24)), Through(), sink, SHALLOW))
    assert len(sink.frames) == 5
    assert sink.aborted


def test_stop_writes_all_that_was_read_and_finishes():
    sink = CollectSink(limit=20_000)
    pipeline = Pipeline(SyntheticSource(20_000, (32, 24)), Through(seconds=0.002), sink)
    threading.Timer(0.3, pipeline.stop).start()
    report = run_bounded(pipeline)
    assert report.stopped
    assert 0 < report.frames_out < 20_000
    assert report.frames_in == report.frames_out == len(sink.frames)
    assert sink.finished


def test_a_keyboard_interrupt_stops_like_stop_and_is_raised_at_the_end():
    sink = CollectSink(limit=20_000)
    calls = []

    def interrupt(progress: Progress) -> None:
        calls.append(progress)
        if len(calls) == 1:
            raise KeyboardInterrupt

    pipeline = Pipeline(SyntheticSource(20_000, (32, 24)), Through(seconds=0.002), sink)
    with pytest.raises(KeyboardInterrupt):
        run_bounded(pipeline, on_progress=interrupt)
    assert pipeline.stopped and sink.finished and sink.frames


def test_a_failing_progress_callback_gives_up():
    def fail(progress: Progress) -> None:
        raise RuntimeError("display gone")

    sink, denoiser = CollectSink(limit=20_000), Through(seconds=0.002)
    with pytest.raises(RuntimeError, match="display gone"):
        run_bounded(Pipeline(SyntheticSource(20_000, (32, 24)), denoiser, sink), on_progress=fail)
    assert sink.aborted and not sink.finished
    assert denoiser.closed == 1


class Pushing:
    """Offers frames from a thread of its own, as a live input does."""

    def __init__(self, frames: int, *, failure: Exception | None = None, endless: bool = False) -> None:
        self.channel = Channel(PipelineConfig(depth=1))
        self.failure = None
        self.closed = 0
        self._frames, self._failure, self._endless = frames, failure, endless
        self._thread = threading.Thread(target=self._push)
        self._thread.start()

    def _push(self) -> None:
        inner = SyntheticSource(self._frames, (32, 24))
        while self.channel.offer(inner.clean(self.channel.came % self._frames)):
            if self.channel.came == self._frames and not self._endless:
                break
        self.failure = self._failure
        self.channel.close()

    def interrupt(self) -> None:
        pass

    def close(self) -> None:
        self.closed += 1
        self._thread.join(2)
        assert not self._thread.is_alive()


def test_live_input_drops_the_oldest_and_counts():
    sink = CollectSink()
    source = Pushing(100)
    report = run_bounded(Pipeline(source, Through(seconds=0.005), sink, SHALLOW))
    seen = [read_index(frame) for frame in sink.frames]
    assert seen == sorted(set(seen)), "order changed, or a frame came twice"
    assert seen[-1] == 99, "the newest frame must survive"
    assert report.dropped > 0
    assert report.dropped + report.frames_out == report.frames_in == 100
    assert (report.stopped, source.closed) == (False, 1)


def test_the_failure_of_a_source_that_pushes_is_the_pipelines():
    source, sink = Pushing(3, failure=SourceError("cam: unplugged. Plug it in")), CollectSink()
    with pytest.raises(PipelineError, match=r"^cam: unplugged. Plug it in") as caught:
        run_bounded(Pipeline(source, Through(), sink, SHALLOW))
    assert caught.value.stage == "malle-source"
    assert sink.aborted and not sink.finished and source.closed == 1


def test_a_source_that_pushes_on_after_stop_is_left_behind():
    source, sink = Pushing(50, endless=True), CollectSink(limit=20_000)
    pipeline = Pipeline(source, Through(seconds=0.002), sink, SHALLOW)
    threading.Timer(0.2, pipeline.stop).start()
    report = run_bounded(pipeline)
    assert report.stopped and sink.finished and source.closed == 1


def test_a_denoiser_that_fails_closes_the_channel_of_a_source_that_pushes():
    source, sink = Pushing(50, endless=True), CollectSink()
    with pytest.raises(PipelineError, match="malle-denoise: the network fell over"):
        run_bounded(Pipeline(source, Through(fail_on=3), sink, SHALLOW))
    assert sink.aborted and source.closed == 1


def test_the_stages_overlap_and_their_times_are_reported():
    class SlowSink(CollectSink):
        def write(self, item) -> None:
            time.sleep(0.01)
            super().write(item)

    report = run_bounded(Pipeline(SyntheticSource(30, (32, 24)), Through(seconds=0.01), SlowSink(), SHALLOW))
    assert report.busy["denoise"] >= 0.3
    assert report.busy["encode"] >= 0.3
    assert report.seconds < 0.9 * (report.busy["denoise"] + report.busy["encode"])
    assert 10 <= report.denoise_ms.p50 <= report.denoise_ms.p95 <= report.denoise_ms.p99
    assert "30 frames in, 30 out, 0 dropped" in report.summary()
