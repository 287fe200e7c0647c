"""Run a program and learn what it took: wall-clock time, CPU time and peak memory.

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

__all__ = ["TIMEOUT", "Usage", "measure"]

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


if __name__ == "__main__":
    _launch(sys.argv[1:])
