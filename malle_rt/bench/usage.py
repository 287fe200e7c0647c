"""What this process takes of the machine: memory and CPU time."""

from __future__ import annotations

import time
from pathlib import Path

__all__ = ["CpuUse", "peak_mib"]

_STATUS = Path("/proc/self/status")


def peak_mib(status: Path = _STATUS) -> float | None:
    """Most memory this process ever had resident, in MiB; None where the system does not tell.

    Not ``getrusage``: Linux counts the memory of the process that started this one into that.
    """
    if not status.is_file():
        return None
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    peak = lines.get("VmHWM")
    return float(peak.split()[0]) / 1024 if peak else None


class CpuUse:
    """CPU time of this process, all its threads, from the construction on."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def cores(self) -> float:
        """Cores kept busy since, on average."""
        return (time.process_time() - self._cpu) / (time.perf_counter() - self._wall)
