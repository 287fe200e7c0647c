"""When each stage worked: spans of wall-clock time, and what they add up to."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

__all__ = ["STAGES", "Account", "Spans"]

STAGES = ("decode", "pack", "network", "unpack", "encode")


@dataclass(frozen=True)
class Account:
    """Where the time of a run went; milliseconds per frame.

    The stages' times less ``overlap`` plus ``idle`` is ``wall``.

    Attributes:
        stages: time each stage worked.
        wall: from start to end, measured apart from the stages.
        overlap: what the stages' times add up to beyond the time in which any of them worked.
        idle: time in which none of them did: hand-over between threads, and whatever else.
    """

    stages: dict[str, float]
    wall: float
    overlap: float
    idle: float


class Spans:
    """Collects spans from any thread."""

    def __init__(self) -> None:
        self._spans: list[tuple[str, float, float]] = []

    def add(self, stage: str, begin: float, end: float) -> None:
        """Note that ``stage`` worked between two readings of ``time.perf_counter``."""
        self._spans.append((stage, begin, end))  # one step for the interpreter: needs no lock

    @contextmanager
    def working(self, stage: str) -> Iterator[None]:
        """Note the time inside the block."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.add(stage, begin, time.perf_counter())

    def lengths(self, stage: str) -> list[float]:
        """Seconds of each span of a stage, in order."""
        return [end - begin for name, begin, end in self._spans if name == stage]

    def account(self, wall: float, frames: int) -> Account:
        """Sum up a run of ``wall`` seconds over ``frames`` frames."""
        busy: defaultdict[str, float] = defaultdict(float)
        for stage, begin, end in self._spans:
            busy[stage] += end - begin
        covered = self._covered()
        scale = 1e3 / frames
        stages = {stage: busy[stage] * scale for stage in STAGES if stage in busy}
        overlap = sum(busy.values()) - covered
        return Account(stages, wall * scale, overlap * scale, (wall - covered) * scale)

    def _covered(self) -> float:
        """Seconds in which at least one stage worked."""
        covered, reached = 0.0, float("-inf")
        for begin, end in sorted((begin, end) for _, begin, end in self._spans):
            covered += max(0.0, end - max(begin, reached))
            reached = max(reached, end)
        return covered
