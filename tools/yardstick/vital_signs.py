"""What a running process holds: memory, threads, files. Linux only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["VitalSigns", "has_grown", "vital_signs"]


@dataclass(frozen=True)
class VitalSigns:
    """A look at a process.

    Attributes:
        mebibytes: resident memory.
        threads: running.
        files: open.
    """

    mebibytes: float
    threads: int
    files: int

    def __str__(self) -> str:
        return f"{self.mebibytes:.0f} MiB, {self.threads} threads, {self.files} files"


def vital_signs(pid: int) -> VitalSigns:
    """Look at a process."""
    files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return VitalSigns(_status(pid, "VmRSS") / 1024, _status(pid, "Threads"), files)


def has_grown(first: float, last: float) -> bool:
    """Whether memory grew by more than 5 % and 8 MiB; both in MiB."""
    return last - first > max(0.05 * first, 8)


def _status(pid: int, field: str) -> int:
    """A number of /proc/PID/status; memory is in KiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field + ":")).split()[1])
