"""How much of the CPU other programs used meanwhile: timings beside a busy neighbour should say so."""

from __future__ import annotations

import os
import time
from pathlib import Path

__all__ = ["OtherLoad"]

STAT = Path("/proc/stat")


class OtherLoad:
    """Counts from its construction on; children of this process count as its own once they have ended."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._others = _others_seconds()

    def cores(self) -> float | None:
        """Cores that other programs kept busy since then, on average; None where Linux does not tell."""
        now = _others_seconds()
        if now is None or self._others is None:
            return None
        return max(0.0, now - self._others) / (time.perf_counter() - self._start)


def _others_seconds() -> float | None:
    """CPU time of everything that is not this process or a child of it, since the machine started."""
    if not STAT.exists():
        return None
    # "cpu user nice system idle iowait irq softirq steal ...", in ticks.
    user, nice, system, _, _, irq, softirq, steal = map(int, STAT.read_text().split()[1:9])
    busy = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    return busy - sum(os.times()[:4])
