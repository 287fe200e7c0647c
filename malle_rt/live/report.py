"""What a live session did."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from malle_rt.denoiser import ALMOST_NO_NOISE
from malle_rt.pipeline import Latency

__all__ = ["LiveReport"]


@dataclass(frozen=True, kw_only=True)
class LiveReport:
    """The end of a session.

    Attributes:
        frames_in, frames_out: frames captured and denoised.
        dropped: left out because newer ones had come.
        late: not shown because they were older than the bound.
        reconnects: times the source was lost and found again.
        seconds: wall-clock time.
        latency: capture to display (to the denoised frame where nothing displays), over the last seconds; 0 where
            nothing was measured.
        backend: what ran, and why.
        sigma: strength of the last frame, 8-bit scale; None where there was none.
        untouched: frames that strength "auto" left as they were, for it found next to no noise.
        saved: recordings that were finished.
        notes: what else there is to say, one line each.
        problems: what went wrong on the way with recordings and outputs, one line each.
    """

    frames_in: int
    frames_out: int
    dropped: int
    late: int
    reconnects: int
    seconds: float
    latency: Latency
    backend: str
    sigma: float | None
    untouched: int
    saved: tuple[Path, ...]
    notes: tuple[str, ...]
    problems: tuple[str, ...]

    def summary(self) -> str:
        """A few lines for the user."""
        fps = self.frames_out / self.seconds if self.seconds > 0 else 0.0
        counts = f"{self.frames_in} frames in, {self.frames_out} out, {self.dropped} dropped"
        if self.late:
            counts += f", {self.late} too late to be shown"
        if self.reconnects:
            counts += f", {self.reconnects} reconnects"
        lines = [f"{counts}; {fps:.1f} fps over {self.seconds:.1f} s"]
        if self.latency.p95:  # a page that nobody looked at has none
            lines.append(f"latency p50 {self.latency.p50:.0f} ms, p95 {self.latency.p95:.0f} ms")
        if self.sigma is not None:
            lines.append(f"strength {self.sigma:.1f} at the end")
        if self.untouched > self.frames_out / 2:
            lines.append(ALMOST_NO_NOISE)
        return "\n".join([*lines, *(f"wrote {path}" for path in self.saved), *self.notes, *self.problems])
