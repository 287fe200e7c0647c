"""Whether the three stages of a transcode work at the same time."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from yardstick.process import measure

__all__ = ["Overlap", "measure_overlap"]

WORKER = Path(__file__).with_name("transcode_worker.py")


@dataclass(frozen=True)
class Overlap:
    """One transcode, through the API.

    Attributes:
        fps: frames per second from the first read to the finished file; the program's start is not in it.
        seconds: the time that is.
        busy: seconds each stage worked; their sum over ``seconds`` is how many worked at once, on average.
        cores: CPU time over wall-clock time of the whole process.
    """

    fps: float
    seconds: float
    busy: dict[str, float]
    cores: float

    @property
    def at_once(self) -> float:
        """Stages at work at the same time, on average; 1 is a tool that does one thing after the other."""
        return sum(self.busy.values()) / self.seconds


def measure_overlap(source: Path, output: Path, model: str, strength: str, backend: str) -> Overlap:
    """Transcode in a process of its own."""
    usage = measure([sys.executable, str(WORKER), str(source), str(output), model, strength, backend])
    report = json.loads(usage.stdout)
    return Overlap(report["fps"], report["seconds"], report["busy"], usage.cpu_seconds / usage.seconds)
