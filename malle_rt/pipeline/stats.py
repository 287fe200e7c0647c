"""What a pipeline measures of itself, and what it reports."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

__all__ = ["Latency", "Progress", "Report", "Stats", "nearest_rank", "percentiles"]

# Samples kept for the percentiles: p99 of 4096 samples is off by about a tenth of a percentile, for 32 KiB.
_RESERVOIR = 4096


@dataclass(frozen=True)
class Latency:
    """Percentiles in milliseconds; 0 where nothing was measured."""

    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, kw_only=True)
class Progress:
    """A snapshot of a running pipeline.

    Attributes:
        frames_in: frames that came from the source.
        frames_out: frames the sink has taken.
        dropped: frames dropped between stages (live input only).
        seconds: wall-clock time since the start.
        position: instant of the last frame the sink has taken, in seconds of media time; None before the first.
        busy: seconds each stage has worked ("decode", "denoise", "encode"); their sum exceeds ``seconds`` as far
            as the stages overlap.
        earlier: frames of ``frames_out`` that an earlier run has done.
        denoise_ms: from the moment the denoiser took a frame to the moment it gave it back.
    """

    frames_in: int
    frames_out: int
    dropped: int
    seconds: float
    position: Fraction | None
    busy: dict[str, float]
    denoise_ms: Latency
    earlier: int = 0

    @property
    def fps(self) -> float:
        """Frames per second of wall-clock time, from the start of this run."""
        return (self.frames_out - self.earlier) / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, kw_only=True)
class Report(Progress):
    """The last snapshot, of a pipeline that has ended well.

    Attributes:
        stopped: whether it was asked to stop before the source ended.
    """

    stopped: bool

    def summary(self) -> str:
        """Two lines for the user."""
        latency = self.denoise_ms
        ending = ", stopped early" if self.stopped else ""
        busy = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in self.busy.items())
        return (
            f"{self.frames_in} frames in, {self.frames_out} out, {self.dropped} dropped{ending}; "
            f"{self.fps:.1f} fps over {self.seconds:.1f} s\n"
            f"denoise p50 {latency.p50:.1f} ms, p95 {latency.p95:.1f} ms, p99 {latency.p99:.1f} ms; busy: {busy}"
        )


class Stats:
    """Counters that the stages add to and anyone may read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._started = time.perf_counter()
        self._frames_out = 0
        self._position: Fraction | None = None
        self._busy = {"decode": 0.0, "denoise": 0.0, "encode": 0.0}
        self._samples: list[float] = []
        self._seen = 0
        self._random = random.Random(0)

    def frame_out(self, position: Fraction) -> None:
        """The sink has taken the frame at ``position`` seconds."""
        with self._lock:
            self._frames_out += 1
            self._position = position

    @contextmanager
    def working(self, stage: str) -> Iterator[None]:
        """Count the time inside the block as work of ``stage``."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self._busy[stage] += time.perf_counter() - begin

    def denoised(self, seconds: float) -> None:
        """The denoiser has given a frame, so long after it took it."""
        with self._lock:
            # Algorithm R: every frame of the run has the same chance to be among the samples kept.
            self._seen += 1
            if len(self._samples) < _RESERVOIR:
                self._samples.append(seconds)
            elif (place := self._random.randrange(self._seen)) < _RESERVOIR:
                self._samples[place] = seconds

    def progress(self, frames_in: int, dropped: int) -> Progress:
        """A snapshot; the channels know how many frames came, and how many were dropped."""
        with self._lock:
            return Progress(**self._values(frames_in, dropped))

    def report(self, frames_in: int, dropped: int, *, stopped: bool) -> Report:
        """The final snapshot."""
        with self._lock:
            return Report(**self._values(frames_in, dropped), stopped=stopped)

    def _values(self, frames_in: int, dropped: int) -> dict[str, Any]:
        return {
            "frames_in": frames_in,
            "frames_out": self._frames_out,
            "dropped": dropped,
            "seconds": time.perf_counter() - self._started,
            "position": self._position,
            "busy": dict(self._busy),
            "denoise_ms": percentiles(self._samples),
        }


def percentiles(samples: Sequence[float]) -> Latency:
    """Nearest-rank percentiles of seconds, in milliseconds."""
    if not samples:
        return Latency(0.0, 0.0, 0.0)
    ordered = sorted(samples)
    p50, p95, p99 = (nearest_rank(ordered, percent) * 1000 for percent in (50, 95, 99))
    return Latency(p50, p95, p99)


def nearest_rank(ordered: Sequence[float], percent: int) -> float:
    """The smallest sample that so many hundredths of all do not exceed: always one that was measured.

    Args:
        ordered: samples in rising order, at least one.
        percent: 0 to 100.
    """
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]  # in integers, where no rounding can slip
