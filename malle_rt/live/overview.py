"""The figures and words of all parts of a session, gathered; and whether it keeps up with its source."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from malle_rt.live.capture.source import LiveSource
from malle_rt.live.control import Controls
from malle_rt.live.outlets.outlet import Outlet
from malle_rt.live.outlets.recording import Recordings
from malle_rt.live.scaling import SizeKeeper
from malle_rt.live.statistics import LiveReport, Meter, Statistics, StatusLine
from malle_rt.pipeline import Progress

__all__ = ["Overview", "PaceWatch"]

_LASTING = 5.0  # seconds: longer than rates remember a gap or a start
_KEEPS_UP = 0.9  # share of the source's frames
_SMALLEST_MODEL = "rt-s"
# Modes that most cameras have, (width, height), large to small.
_SIZES = ((1920, 1080), (1280, 720), (960, 540), (640, 480), (640, 360), (320, 240))


@dataclass
class Overview:
    """Gathers figures and words from the parts of a session. From any thread.

    Attributes:
        source, meter, controls, recordings, outputs, status_line: the parts.
        running_on: name, model and precision of what denoises.
        keeper: the share of the size in force.
        max_latency: seconds; None: no bound.
        progress: the pipeline's newest figures.
    """

    source: LiveSource
    meter: Meter
    controls: Controls
    recordings: Recordings
    outputs: Sequence[Outlet]
    status_line: StatusLine
    running_on: str
    keeper: SizeKeeper
    max_latency: float | None
    progress: Progress | None = None

    def statistics(self) -> Statistics:
        """A snapshot."""
        source, meter, tuning = self.source, self.meter, self.controls.tuning
        last, recording = meter.last, self.recordings.current
        return Statistics(
            source=source.status.description,
            state=source.status.state,
            message=self._message(),
            backend=self.running_on,
            automatic=isinstance(tuning.strength, str),
            estimated=last.estimated if last else None,
            used=last.sigma if last else 0.0,
            mix=tuning.mix,
            captured_fps=source.status.rate.fps(),
            shown_fps=meter.fps,
            frames_in=source.channel.came,
            frames_out=meter.frames_out,
            dropped=source.dropped,
            late=meter.late,
            latency=meter.latency,
            recording=str(recording.path) if recording else None,
            recorded_seconds=recording.recorded_seconds if recording else 0.0,
            outputs=tuple(f"{outlet.name}: {outlet.note}" for outlet in self.outputs),
            seconds=meter.seconds,
            size=(last.width, last.height) if last else None,
            scale=self.keeper.scale,
            automatic_scale=tuning.scale == "auto",
        )

    def report(self, backend: str, untouched: int) -> LiveReport:
        """The end of the session.

        Args:
            backend: what ran, and why.
            untouched: see ``LiveReport``.
        """
        broken = (f"{outlet.name}: {outlet.problem}" for outlet in self.outputs if outlet.problem)
        slow = (f"{each.name}: {each.note}" for each in self.outputs if each.dropped and not each.problem)
        return LiveReport(
            **{**vars(self.statistics()), "backend": backend},
            reconnects=self.source.status.connection - 1,
            untouched=untouched,
            saved=tuple(self.recordings.paths),
            notes=(*self.recordings.notes, *slow),
            problems=(*self.recordings.problems, *broken),
        )

    def report_scale(self) -> None:
        """Let the share of the size follow the source's rate where that is automatic, and say so."""
        captured = self.source.status.rate.fps()
        if self.controls.tuning.scale == "auto" and self.keeper.look(captured):
            size = "the whole size" if self.keeper.scale == "1" else f"{self.keeper.scale} of the size"
            self.status_line.say(f"denoising at {size}, to keep {captured:.0f} fps")

    def report_pace(self, watch: PaceWatch) -> None:
        """Say once that the picture does not keep up with its source, and what helps."""
        last = self.meter.last
        if last is None or self.progress is None:
            return
        line = watch.look(
            time.monotonic(),
            captured=self.source.status.rate.fps(),
            shown=self.meter.fps,
            size=(last.width, last.height),
            denoise_ms=self.progress.denoise_ms.p50,
            backend=self.running_on,
        )
        if line is not None:
            self.status_line.warn(line)

    def _message(self) -> str | None:
        """No picture comes first, then what has just happened, then what stays wrong."""
        if (problem := self.source.status.problem) is not None:
            return problem
        if self.status_line.text is not None:
            return self.status_line.text
        broken = [f"{outlet.name}: {outlet.problem}" for outlet in self.outputs if outlet.problem]
        if broken:
            return broken[0]
        if self.max_latency is not None and self.meter.late_now:
            return f"pictures older than {1000 * self.max_latency:.0f} ms are not shown ({self.meter.late} so far)"
        return None


class PaceWatch:
    """Watches two rates, and has something to say once.

    Args:
        model: the network that runs.
        sizeable: whether the source can be asked for a smaller picture.
        scalable: whether pictures could be denoised at a smaller size; not so where that is automatic.
    """

    def __init__(self, model: str, *, sizeable: bool, scalable: bool = True) -> None:
        self._model = model
        self._sizeable = sizeable
        self._scalable = scalable
        self._behind_since: float | None = None
        self._told = False

    def look(
        self,
        now: float,
        *,
        captured: float,
        shown: float,
        size: tuple[int, int],
        denoise_ms: float,
        backend: str,
    ) -> str | None:
        """Take the newest figures; gives a line the first time that the picture has been behind for a while.

        Args:
            now: on a clock that only goes forward, in seconds.
            captured: frames per second of the source; 0 where it gives none now.
            shown: frames per second that come out.
            size: (width, height) of a frame.
            denoise_ms: what denoising a frame takes.
            backend: what denoises, for the line.
        """
        if captured <= 0 or shown >= _KEEPS_UP * captured:
            self._behind_since = None
            return None
        if self._behind_since is None:
            self._behind_since = now
        if self._told or now - self._behind_since < _LASTING:
            return None
        self._told = True
        width, height = size
        return (
            f"the picture comes at {shown:.1f} of the source's {captured:.1f} fps: "
            f"denoising {width}x{height} takes {denoise_ms:.0f} ms a frame here ({backend}). "
            f"{self._advice(size, shown / captured)}"
        )

    def _advice(self, size: tuple[int, int], share: float) -> str:
        ways = []
        if self._sizeable:
            fitting = [each for each in _SIZES if each[0] * each[1] <= size[0] * size[1] * share]
            smaller = fitting[0] if fitting else _SIZES[-1]
            if smaller[0] * smaller[1] < size[0] * size[1]:
                ways.append(f"--size {smaller[0]}x{smaller[1]}")
        elif self._scalable:
            ways.append("--scale auto")
        else:
            ways.append("a source with a smaller picture")
        if self._model != _SMALLEST_MODEL:
            ways.append(f"--model {_SMALLEST_MODEL}")
        return (
            f"Faster: {' or '.join(ways)}"
            if ways
            else "Other programs at work, or a faster machine, decide the rest"
        )
