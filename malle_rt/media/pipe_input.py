"""What can be read once only, as a file: a pipe, whose reads can be called off, or the bytes behind an address."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from av.container import InputContainer

from malle_rt.media.compat import open_reading
from malle_rt.media.track_watch import TrackWatch

__all__ = ["PipeInput"]

_POLL = 0.2  # seconds between two looks at whether to go on
_BEGINNING = 12  # bytes that tell MP4 from others
_AT_ONCE = "32768"  # bytes that are asked of an address at most


class PipeInput:
    """What ``av.open`` needs of a file, over standard input, a named pipe or an address.

    Attributes:
        beginning: the first bytes that were read.
        stopped: whether ``stop`` was called.
        announced: tracks that what was read so far has announced.
    """

    name = "-"

    def __init__(self) -> None:
        """Standard input, until ``open`` or ``open_address``."""
        self.beginning = b""
        self.stopped = False
        self.announced = TrackWatch()
        self._descriptor = 0
        self._address: InputContainer | None = None
        self._pieces: Iterator[Any] = iter(())
        self._rest = b""  # of a piece that was longer than what was asked for

    def open(self, path: str) -> None:
        """Read a named pipe. Does not wait for its writer.

        Raises:
            OSError: it cannot be opened.
        """
        self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))

    def open_address(self, address: str, options: Mapping[str, str], timeout: tuple[float, float]) -> None:
        """Read the bytes that FFmpeg gets from an address, as they are: seeking is lost, and each byte can be seen.

        Args:
            address: of what gives bytes, such as UDP and HTTP.
            options: FFmpeg's, for the connection.
            timeout: seconds to open it, and to wait for bytes; a read that waits longer ends in an error of FFmpeg's.

        Raises:
            av.error.FFmpegError: it cannot be opened; OSError and ValueError likewise.
        """
        options = {**options, "raw_packet_size": _AT_ONCE}
        self._address = open_reading(address, format="data", options=options, timeout=timeout)
        self._pieces = self._address.demux()

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes; empty at the end, and after ``stop``.

        Raises:
            av.error.FFmpegError: an address gave nothing in time, or broke.
        """
        while not self.stopped:
            data = self._read(size) if self._address is None else self._receive(size)
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
        """Give the named pipe or the connection back. May be called twice."""
        descriptor, self._descriptor = self._descriptor, 0
        if descriptor:
            os.close(descriptor)
        if self._address is not None:
            self._pieces = iter(())
            self._address.close()

    def _receive(self, size: int) -> bytes:
        if not self._rest:
            self._rest = bytes(next(self._pieces, b""))
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    def _read(self, size: int) -> bytes | None:
        """None: nothing has come yet."""
        # Only POSIX can wait for a pipe with a time limit.
        if sys.platform != "win32" and not select.select([self._descriptor], [], [], _POLL)[0]:
            return None
        try:
            return os.read(self._descriptor, size)
        except BlockingIOError:
            return None
