"""Run a program and learn what it took; and what a running one holds.

Linux counts the memory of the process that starts a program into that program's peak. So this file is also a small
program of its own, which ``measure`` starts in between: the peak is the program's own, or this launcher's 15 MiB.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["FFMPEG", "TIMEOUT", "Usage", "VitalSigns", "has_grown", "measure", "vital_signs"]

FFMPEG = ("ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "error", "-y")
TIMEOUT = 900.0


@dataclass(frozen=True)
class Usage:
    """What one run of a program took.

    Attributes:
        seconds: wall-clock time, start-up included.
        cpu_seconds: user and system time of all its threads.
        peak_mib: most memory it ever had resident, in MiB.
        stdout: what it printed.
    """

    seconds: float
    cpu_seconds: float
    peak_mib: float
    stdout: str


def measure(command: Sequence[str]) -> Usage:
    """Run a program to its end.

    Raises:
        RuntimeError: it failed; with the last lines it wrote to stderr.
    """
    launcher = [sys.executable, "-I", "-S", __file__, *command]
    done = subprocess.run(launcher, capture_output=True, text=True, check=True)
    result = json.loads(done.stdout)
    if result["code"]:
        ending = "\n".join(result["stderr"].strip().splitlines()[-5:])
        raise RuntimeError(f"{' '.join(command)}\nended with code {result['code']}:\n{ending}")
    return Usage(result["seconds"], result["cpu_seconds"], result["peak_mib"], result["stdout"])


def _launch(command: Sequence[str]) -> None:
    start = time.perf_counter()
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    seconds = time.perf_counter() - start
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = {
        "code": done.returncode,
        "seconds": seconds,
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "peak_mib": used.ru_maxrss / 1024,
        "stdout": done.stdout,
        "stderr": done.stderr,
    }
    json.dump(result, sys.stdout)


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


if __name__ == "__main__":
    _launch(sys.argv[1:])
