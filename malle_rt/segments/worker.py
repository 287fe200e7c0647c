"""Making segments, in this process or in one of its own.

Before a segment the network runs over a few frames whose results are thrown away; where a shot begins it needs none.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol, cast

from malle_rt.api import open_denoiser
from malle_rt.child import Child, ChildEndedError, restored, serve
from malle_rt.denoiser import FrameDenoiser, Seen
from malle_rt.errors import MalleError, PipelineError, SinkError
from malle_rt.frame import Frame, Packet, VideoInfo
from malle_rt.media.segment_file import SegmentSink
from malle_rt.media.template import Template
from malle_rt.photo.frames import FrameByFrame
from malle_rt.pipeline import Pipeline
from malle_rt.protocols import Denoiser
from malle_rt.segments.plans import Folder, FrameDiffers, FrameReader, Instants, Plan, SegmentWork, header_of

__all__ = ["Made", "Maker", "Makers", "SegmentWorker", "WorkerProcess"]

log = logging.getLogger(__name__)

WARM_UP = 24  # frames before a segment that the network runs over


class _ToldDenoiser:
    """Denoises frames as the first pass saw them; left open at the end of a segment."""

    def __init__(self, denoiser: Denoiser, seen: Mapping[int, tuple[Seen, ...]]) -> None:
        self._denoiser, self._seen = denoiser, seen

    @property
    def ahead(self) -> int:
        return self._denoiser.ahead

    def start(self, frame: Frame) -> Callable[[], Frame]:
        if isinstance(self._denoiser, FrameDenoiser):
            return self._denoiser.start(frame, self._seen[frame.pts])
        return self._denoiser.start(frame)

    def close(self) -> None:
        """Stays open for the next segment."""


class _PartSource:
    """The frames of one segment and those before it, as a source."""

    def __init__(self, reader: FrameReader, info: VideoInfo, frames: Iterator[Frame], count: int) -> None:
        self._reader, self.info, self._frames, self._count = reader, info, frames, count

    def __iter__(self) -> Iterator[Frame | Packet]:
        for _ in range(self._count):
            frame = next(self._frames, None)
            if frame is None:
                return
            yield frame

    def interrupt(self) -> None:
        self._reader.interrupt()

    def close(self) -> None:
        """The file stays open for the next segment."""


@dataclass(frozen=True)
class Made:
    """How a segment was made.

    Attributes:
        frames: in it.
        untouched: of them, that "auto" left as they were.
        sigma: of the last one; None where frames pass through.
        busy: see ``Progress``.
        latency: milliseconds, see ``Latency``.
    """

    frames: int
    untouched: int
    sigma: float | None
    busy: dict[str, float]
    latency: tuple[float, float, float]


class Maker(Protocol):
    """Makes segments, one after the other; see ``SegmentWorker``."""

    def make(self, number: int, on_frames: Callable[[int], None]) -> Made | None:
        """Make one; None where it was stopped."""
        ...

    def stop(self) -> None:
        """End soon; from any thread."""
        ...

    def close(self) -> None:
        """Release everything. May be called twice."""
        ...


class Makers(Protocol):
    """Other machines that make segments; see ``Cluster``."""

    def begin(
        self, work: SegmentWork, header: dict[str, Any], backend: str, stopped: Callable[[], bool]
    ) -> int:
        """Get ready for a video; how many segments can be made at once."""
        ...

    def maker(self) -> Maker | None:
        """One more, None where there is no room now."""
        ...

    def end(self, *, finished: bool) -> None:
        """The video is over. May be called twice."""
        ...


class SegmentWorker:
    """Makes segments of one video, one after the other."""

    def __init__(self, work: SegmentWork) -> None:
        """Open the network and the source.

        Raises:
            ConfigError, SourceError, BackendUnavailable: see ``Transcode``.
        """
        self.work, self._folder = work, Folder(Path(work.folder))
        self._stopped = False
        self._pipeline: Pipeline | None = None
        with ExitStack() as undo:
            self._denoiser, self.backend = open_denoiser(work.config)
            undo.callback(self._denoiser.close)
            self._head = work.open()  # stays at its beginning, for what encoders are told of the source
            undo.callback(self._head.close)
            self.header = header_of(self._head)
            undo.pop_all()
        self._reader = FrameReader(work, self.header)

    @property
    def info(self) -> VideoInfo:
        """The video track."""
        return self._head.info

    @property
    def template(self) -> Template:
        """What the source is."""
        return self._head.template

    @property
    def gpu(self) -> int | None:
        """Number of the NVIDIA GPU that the network runs on."""
        return self._denoiser.gpu if isinstance(self._denoiser, FrameDenoiser) else None

    @property
    def looks(self) -> bool:
        """Whether results depend on what frames tell."""
        return isinstance(self._denoiser, FrameDenoiser)

    @property
    def watches(self) -> bool:
        """Whether they depend on the noise, whatever the strength is."""
        return isinstance(self._denoiser, FrameDenoiser) and self._denoiser.watches

    def make(self, number: int, on_frames: Callable[[int], None]) -> Made | None:
        """Make one segment, whose plan is there; None where it was stopped.

        Args:
            number: of the segment.
            on_frames: told now and then how many of its frames are done.

        Raises:
            PipelineError: a stage failed.
        """
        try:
            return self._make(number, on_frames)
        except (PipelineError, FrameDiffers) as exc:
            if not isinstance(exc if isinstance(exc, FrameDiffers) else exc.__cause__, FrameDiffers):
                raise
        log.info("segment %d: the file is read from its beginning, its middle cannot be reached", number)
        self._reader.distrust()
        return self._make(number, on_frames)

    def stop(self) -> None:
        """End soon, without a segment; from any thread."""
        self._stopped = True
        if (pipeline := self._pipeline) is not None:
            pipeline.stop()

    def close(self) -> None:
        """Release everything. May be called twice."""
        self._reader.close()
        self._head.close()
        self._denoiser.close()

    def _make(self, number: int, on_frames: Callable[[int], None]) -> Made | None:
        plan = Plan.load(self._folder.plan(number))
        warm = self._warm_up(number, plan)
        if isinstance(self._denoiser, FrameDenoiser | FrameByFrame):
            self._denoiser.forget()
        untouched = getattr(self._denoiser, "untouched", 0)
        pts, sums, seen = warm.pts + plan.pts, warm.sums + plan.sums, warm.seen + plan.seen
        unit = Fraction(self.header["time_base"])
        sink = SegmentSink(
            self._folder.segment(number),
            self._head.template,
            self.work.encode,
            Path(self.work.output),
            before=Instants(self._folder, number, unit),
            skip_before=plan.pts[0],
            stopped=lambda: self._stopped,
        )
        source = _PartSource(self._reader, self.info, self._reader.frames(warm.begin, pts, sums), len(pts))
        pipeline = Pipeline(source, _ToldDenoiser(self._denoiser, dict(zip(pts, seen, strict=True))), sink)
        self._pipeline = pipeline
        if self._stopped:
            sink.abort()
            return None
        try:
            report = pipeline.run(lambda _: on_frames(sink.frames))
        finally:
            self._pipeline = None
        if self._stopped or report.stopped:
            return None
        if sink.frames != len(plan):
            raise SinkError(
                f"segment {number} has {sink.frames} frames instead of {len(plan)}; please report this"
            )
        sigma = getattr(self._denoiser, "sigma", None)
        untouched = getattr(self._denoiser, "untouched", 0) - untouched
        latency = report.denoise_ms
        return Made(len(plan), max(0, untouched), sigma, report.busy, (latency.p50, latency.p95, latency.p99))

    def _warm_up(self, number: int, plan: Plan) -> Plan:
        """The frames that the network runs over before a segment."""
        nothing = Plan(plan.begin, [], [], [], {})
        if number == 0 or plan.at_cut or not isinstance(self._denoiser, FrameDenoiser):
            return nothing
        before = Plan.load(self._folder.plan(number - 1))
        count = min(WARM_UP, len(before))
        first = len(before) - count
        return Plan(plan.begin - count, before.pts[first:], before.sums[first:], before.seen[first:], {})


@dataclass(frozen=True)
class _Order:
    work: SegmentWork
    number: int


class WorkerProcess:
    """A ``SegmentWorker`` in a process of its own, which ends with this one, however that ends."""

    def __init__(self, work: SegmentWork) -> None:
        self._work = work
        self._process = Child("malle_rt.segments.worker")
        self._stopped = False

    def make(self, number: int, on_frames: Callable[[int], None]) -> Made | None:
        """See ``SegmentWorker``. Raises ChildEndedError where the process is no more, and what it failed with."""
        try:
            return cast(Made, restored(Made, self._process.ask(_Order(self._work, number), on_frames)))
        except ChildEndedError:
            if self._stopped:
                return None
            raise

    def stop(self) -> None:
        """It ends at once; what it has not finished is not there."""
        self._stopped = True
        self._process.stop()

    def close(self) -> None:
        """End it. May be called twice."""
        self.stop()
        self._process.close()


def _serve_parent() -> None:
    logging.disable(logging.WARNING)  # the other process says the same
    workers: list[SegmentWorker] = []  # the one, once there is an order

    def make(plain: Any, on_frames: Callable[[int], None]) -> Made | None:
        order = cast(_Order, restored(_Order, plain))
        try:
            if not workers:
                workers.append(SegmentWorker(order.work))
            return workers[0].make(order.number, on_frames)
        except MalleError:
            raise
        except Exception as exc:  # it would fail again
            raise SinkError(f"segment {order.number}: {exc}") from exc

    serve(make)


if __name__ == "__main__":
    _serve_parent()
