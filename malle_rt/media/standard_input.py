"""Standard input as a file whose reads can be called off: a producer that falls silent must not hold up the end."""

from __future__ import annotations

import os
import select
import sys

__all__ = ["StandardInput"]

_POLL = 0.2  # seconds between two looks at whether to go on


class StandardInput:
    """What ``av.open`` needs of a file, over file descriptor 0."""

    name = "-"

    def __init__(self) -> None:
        self._stopped = False

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes; empty at the end, and after ``stop``."""
        # Only POSIX can wait for a pipe with a time limit.
        while sys.platform != "win32" and not select.select([0], [], [], _POLL)[0]:
            if self._stopped:
                return b""
        return b"" if self._stopped else os.read(0, size)

    def stop(self) -> None:
        """Let every read from now on, and one that waits, find the end. From any thread."""
        self._stopped = True
