"""What a frame takes beside busy neighbours: processes that only spin, as many as asked for."""

from __future__ import annotations

import contextlib
import logging
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from malle_rt.pipeline import nearest_rank
from yardstick.other_load import OtherLoad
from yardstick.raw_video import RawVideo
from yardstick.search import Setting
from yardstick.tool import Tool

__all__ = ["FrameTimes", "TimesFrames", "measure_busy", "spinning"]

log = logging.getLogger(__name__)

UNSTEADY = 5  # first frames, not counted: a program starts


@dataclass(frozen=True)
class FrameTimes:
    """Times of single frames beside neighbours.

    Attributes:
        neighbours: processes that spin.
        median_ms, p95_ms: medians over the rounds.
        frames: of each round.
        other_cores: that all other programs used meanwhile, neighbours included; None if unknown.
    """

    neighbours: int
    median_ms: float
    p95_ms: float
    frames: int
    other_cores: float | None


@runtime_checkable
class TimesFrames(Protocol):
    """A tool that can tell what single frames take."""

    def frame_seconds(self, noisy: RawVideo, setting: Setting) -> list[float]:
        """Seconds of each frame but the first."""
        ...


def measure_busy(
    tools: Mapping[Tool, Setting], noisy: RawVideo, neighbours: Sequence[int], rounds: int
) -> dict[str, list[FrameTimes]]:
    """Measure every tool that can tell, beside each number of neighbours; all take turns in every round."""
    able = {tool: setting for tool, setting in tools.items() if isinstance(tool, TimesFrames)}
    seen: dict[tuple[str, int], list[tuple[float, float, float | None, int]]] = {}
    for _ in range(rounds):
        for count in neighbours:
            for tool, setting in able.items():
                others = OtherLoad()
                with spinning(count):
                    times = tool.frame_seconds(noisy, setting)[UNSTEADY - 1 :]
                    cores = others.cores()
                median, p95 = (nearest_rank(sorted(times), share) * 1000 for share in (50, 95))
                log.info("  %d neighbours: %s, %.1f ms, p95 %.1f ms", count, tool.name, median, p95)
                seen.setdefault((tool.name, count), []).append((median, p95, cores, len(times)))
    return {tool.name: [_times(count, seen[tool.name, count]) for count in neighbours] for tool in able}


def _times(count: int, seen: Sequence[tuple[float, float, float | None, int]]) -> FrameTimes:
    medians, p95s, cores, frames = zip(*seen, strict=True)
    known = [value for value in cores if value is not None]
    others = statistics.median(known) if known else None
    return FrameTimes(count, statistics.median(medians), statistics.median(p95s), frames[0], others)


@contextlib.contextmanager
def spinning(count: int) -> Iterator[None]:
    """That many processes spin meanwhile; they end with this one, however it ends."""
    # The pipe to their stdin closes with this process.
    code = (
        "import os, sys, threading\n"
        "threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0))).start()\n"
        "while True: pass"
    )
    processes = [
        subprocess.Popen([sys.executable, "-I", "-S", "-c", code], stdin=subprocess.PIPE)
        for _ in range(count)
    ]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.communicate()
