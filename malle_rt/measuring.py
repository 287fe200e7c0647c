"""What every measurement needs, of whatever: how close two pictures are, several values as one, and the machine."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["OtherLoad", "Spread", "describe_machine", "package_version", "processor_name", "psnr"]

_CPUINFO, _STAT = Path("/proc/cpuinfo"), Path("/proc/stat")


def psnr(picture: npt.NDArray[Any], clean: npt.NDArray[Any], peak: float = 255.0) -> float:
    """Peak signal-to-noise ratio in dB for a largest value of ``peak``, both of one shape; infinite for equal ones."""
    error = float(np.square(picture.astype(np.float32) - clean.astype(np.float32)).mean(dtype=np.float64))
    return float(10 * np.log10(peak**2 / error)) if error else float("inf")


@dataclass(frozen=True)
class Spread:
    """Several measurements of one thing.

    Attributes:
        median: of all.
        low, high: the smallest and the largest.
    """

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of at least one value."""
        return cls(statistics.median(values), min(values), max(values))

    @property
    def width(self) -> float:
        """The stated spread: largest less smallest."""
        return self.high - self.low

    @property
    def percent(self) -> float:
        """``width`` in percent of the median."""
        return 100 * self.width / self.median if self.median else 0.0


class OtherLoad:
    """How many cores other programs kept busy, from construction on: timings beside a busy neighbour should say so.

    Children of this process count as its own once they have ended.
    """

    def __init__(self) -> None:
        self._begin, self._others = time.perf_counter(), _others_seconds()

    def cores(self) -> float | None:
        """Cores that other programs kept busy since then, on average; None where Linux does not tell."""
        now = _others_seconds()
        if now is None or self._others is None:
            return None
        return max(0.0, now - self._others) / (time.perf_counter() - self._begin)


def processor_name() -> str:
    """Model name of the processor."""
    lines = _CPUINFO.read_text().splitlines() if _CPUINFO.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def package_version(name: str) -> str | None:
    """Version of an installed package; None when it is not there."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def describe_machine(packages: Sequence[str]) -> dict[str, str]:
    """Processor, threads, load, system, and the versions of packages that are here; nothing that tells whose it is."""
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    versions = {name: package_version(name) for name in packages}
    return {
        "cpu": processor_name(),
        "threads": str(threads),
        "load average": " ".join(f"{load:.1f}" for load in os.getloadavg()),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: found for name, found in versions.items() if found},
    }


def _others_seconds() -> float | None:
    """CPU time of everything that is not this process or an ended child of it, since the machine started."""
    if not _STAT.exists():
        return None
    # "cpu user nice system idle iowait irq softirq steal ...", in ticks.
    user, nice, system, _, _, irq, softirq, steal = map(int, _STAT.read_text().split()[1:9])
    busy = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    return busy - sum(os.times()[:4])
