"""A pipe as a file whose reads can be called off: a producer that falls silent must not hold up the end."""

from __future__ import annotations

import os
import select
import sys

from malle_rt.media.transport_watch import TransportWatch

__all__ = ["PipeInput"]

_POLL = 0.2  # seconds between two looks at whether to go on
_BEGINNING = 12  # bytes that tell MP4 from others


class PipeInput:
    """What ``av.open`` needs of a file, over standard input or a named pipe.

    Attributes:
        beginning: the first bytes that were read.
        stopped: whether ``stop`` was called.
        announced: tracks that what was read so far has announced.
    """

    name = "-"

    def __init__(self) -> None:
        """Standard input, until ``open``."""
        self.beginning = b""
        self.stopped = False
        self.announced = TransportWatch()
        self._descriptor = 0

    def open(self, path: str) -> None:
        """Read a named pipe. Does not wait for its writer.

        Raises:
            OSError: it cannot be opened.
        """
        self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes; empty at the end, and after ``stop``."""
        while not self.stopped:
            # Only POSIX can wait for a pipe with a time limit.
            if sys.platform != "win32" and not select.select([self._descriptor], [], [], _POLL)[0]:
                continue
            data = self._read(size)
            if data is not None:
                self.beginning += data[: _BEGINNING - len(self.beginning)]
                self.announced.see(data)
                return data
        return b""

    @property
    def is_mp4(self) -> bool:
        """Whether what came first was the head of an MP4 or MOV."""
        return self.beginning[4:8] == b"ftyp"

    def stop(self) -> None:
        """Let every read from now on, and one that waits, find the end. From any thread."""
        self.stopped = True

    def close(self) -> None:
        """Give the named pipe back. May be called twice."""
        descriptor, self._descriptor = self._descriptor, 0
        if descriptor:
            os.close(descriptor)

    def _read(self, size: int) -> bytes | None:
        try:
            return os.read(self._descriptor, size)
        except BlockingIOError:
            return None
