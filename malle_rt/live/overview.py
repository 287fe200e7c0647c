"""What a session tells of itself, while it runs and at its end."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from malle_rt.live.capture.source import LiveSource
from malle_rt.live.controls import Controls
from malle_rt.live.news import News
from malle_rt.live.outlets.outlet import Outlet
from malle_rt.live.pace import PaceWatch
from malle_rt.live.recordings import Recordings
from malle_rt.live.report import LiveReport
from malle_rt.live.statistics import Meter, Statistics
from malle_rt.pipeline import Progress

__all__ = ["Overview"]


@dataclass
class Overview:
    """Gathers figures and words from the parts of a session. From any thread.

    Attributes:
        source, meter, controls, recordings, outputs, news: the parts.
        running_on: name, model and precision of what denoises.
        max_latency: seconds; None: no bound.
        progress: the pipeline's newest figures.
    """

    source: LiveSource
    meter: Meter
    controls: Controls
    recordings: Recordings
    outputs: Sequence[Outlet]
    news: News
    running_on: str
    max_latency: float | None
    progress: Progress | None = None

    def statistics(self) -> Statistics:
        """A snapshot."""
        source, meter, tuning = self.source, self.meter, self.controls.tuning
        last, recording = meter.last, self.recordings.current
        return Statistics(
            source=source.description,
            state=source.state,
            message=self._message(),
            backend=self.running_on,
            automatic=isinstance(tuning.strength, str),
            estimated=last.estimated if last else None,
            used=last.sigma if last else 0.0,
            mix=tuning.mix,
            captured_fps=source.captured_fps,
            shown_fps=meter.fps,
            frames_in=source.frames_in,
            frames_out=meter.frames_out,
            dropped=self._dropped,
            late=meter.late,
            latency=meter.latency,
            recording=str(recording.path) if recording else None,
            recorded_seconds=recording.recorded_seconds if recording else 0.0,
            outputs=tuple(f"{outlet.name}: {outlet.note}" for outlet in self.outputs),
            seconds=meter.seconds,
        )

    def report(self, backend: str, untouched: int) -> LiveReport:
        """The end of the session.

        Args:
            backend: what ran, and why.
            untouched: see ``LiveReport``.
        """
        meter, last = self.meter, self.meter.last
        broken = (f"{outlet.name}: {outlet.problem}" for outlet in self.outputs if outlet.problem)
        slow = (f"{each.name}: {each.note}" for each in self.outputs if each.dropped and not each.problem)
        return LiveReport(
            frames_in=self.source.frames_in,
            frames_out=meter.frames_out,
            dropped=self._dropped,
            late=meter.late,
            reconnects=self.source.connection - 1,
            seconds=meter.seconds,
            latency=meter.latency,
            backend=backend,
            sigma=last.sigma if last else None,
            untouched=untouched,
            saved=tuple(self.recordings.paths),
            notes=(*self.recordings.notes, *slow),
            problems=(*self.recordings.problems, *broken),
        )

    def tell_pace(self, watch: PaceWatch) -> None:
        """Say once that the picture does not keep up with its source, and what helps."""
        last = self.meter.last
        if last is None or self.progress is None:
            return
        line = watch.look(
            time.monotonic(),
            captured=self.source.captured_fps,
            shown=self.meter.fps,
            size=(last.width, last.height),
            denoise_ms=self.progress.denoise_ms.p50,
            backend=self.running_on,
        )
        if line is not None:
            self.news.warn(line)

    @property
    def _dropped(self) -> int:
        return self.source.dropped + (self.progress.dropped if self.progress is not None else 0)

    def _message(self) -> str | None:
        """No picture comes first, then what has just happened, then what stays wrong."""
        if self.source.problem is not None:
            return self.source.problem
        if self.news.text is not None:
            return self.news.text
        broken = [f"{outlet.name}: {outlet.problem}" for outlet in self.outputs if outlet.problem]
        if broken:
            return broken[0]
        if self.max_latency is not None and self.meter.late_now:
            return f"pictures older than {1000 * self.max_latency:.0f} ms are not shown ({self.meter.late} so far)"
        return None
