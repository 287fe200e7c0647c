"""Threads stay scheduled as they were while a library is opened that would make them real-time ones."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["kept_scheduling"]

_TASKS = Path("/proc/self/task")


@contextmanager
def kept_scheduling() -> Iterator[None]:
    """Undo what the code within does to the scheduling of the calling thread, and of the threads it starts.

    SVT-AV1, run by root, puts the thread that opens it into the highest real-time class, and all its own threads
    inherit that: nothing else of the machine would run beside them.
    """
    if sys.platform != "linux":
        yield
        return
    policy, parameters, before = os.sched_getscheduler(0), os.sched_getparam(0), _threads()
    try:
        yield
    finally:
        if changed := os.sched_getscheduler(0) != policy:
            os.sched_setscheduler(0, policy, parameters)
        for thread in _threads() - before if changed else ():
            with suppress(OSError):  # it has ended meanwhile
                os.sched_setscheduler(thread, policy, parameters)


def _threads() -> set[int]:
    """The kernel's numbers of this process's threads; none where they cannot be listed."""
    try:
        return {int(entry.name) for entry in _TASKS.iterdir()}
    except OSError:
        return set()
