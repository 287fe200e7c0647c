"""The thread that opens, reads and closes one connection."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

from malle_rt.frame import Packet
from malle_rt.live.capture.base import Capture
from malle_rt.live.shot import Shot

__all__ = ["Inbox", "ReaderThread"]

log = logging.getLogger(__name__)


class Inbox(Protocol):
    """Who takes what readers read. Called by their threads."""

    def opened(self, number: int, capture: Capture) -> bool:
        """Reader ``number`` has opened its capture; False when a later one has done so before."""
        ...

    def take(self, number: int, item: Shot | Packet) -> bool:
        """An item of reader ``number``; False when no more is wanted."""
        ...


class ReaderThread:
    """Reads a capture in a thread of its own, which may be given up: a driver can hang for ever.

    Attributes:
        done: set when the thread has closed its capture and ends.
        error: why it ended, if not by the end of its input or because nobody wants it any more.
    """

    def __init__(self, number: int, opener: Callable[[], Capture], inbox: Inbox) -> None:
        """Start reading.

        Args:
            number: of the connection attempt, rising.
            opener: opens the capture.
            inbox: takes it all.
        """
        self.done = threading.Event()
        self.error: Exception | None = None
        self._number, self._opener, self._inbox = number, opener, inbox
        self._unwanted = False
        self._delivering = False
        self._first_shot: float | None = None
        self._quiet_since = time.monotonic()
        # Not a daemon: a daemon thread inside FFmpeg or a driver crashes the interpreter as it shuts down.
        threading.Thread(target=self._run, name=f"malle-reader-{number}", daemon=False).start()

    def abandon(self) -> None:
        """Nothing more is wanted: the thread closes its capture as soon as it comes back from where it is."""
        self._unwanted = True

    @property
    def quiet(self) -> float:
        """Seconds since the last shot, or since the start; 0 while an item is handed on, which may take long."""
        return 0.0 if self._delivering else time.monotonic() - self._quiet_since

    @property
    def live(self) -> float | None:
        """Seconds from the first shot to the last; None before the first."""
        return None if self._first_shot is None else self._quiet_since - self._first_shot

    def _run(self) -> None:
        try:
            capture = self._opener()
            try:
                self._read(capture)
            finally:
                capture.close()
        except Exception as exc:
            log.debug("reader %d has failed", self._number, exc_info=True)
            # The traceback holds this thread's frames, and they hold the decoder: a cycle, with megabytes in it,
            # that would stay until the next garbage collection.
            self.error = exc.with_traceback(None)
        finally:
            self.done.set()

    def _read(self, capture: Capture) -> None:
        if self._unwanted or not self._inbox.opened(self._number, capture):
            return
        for item in capture:
            if self._unwanted or not self._hand_on(item):
                return

    def _hand_on(self, item: Shot | Packet) -> bool:
        begin = time.monotonic()
        self._delivering = True
        wanted = self._inbox.take(self._number, item)
        now = time.monotonic()
        if isinstance(item, Shot):
            self._first_shot = now if self._first_shot is None else self._first_shot
            self._quiet_since = now
        else:
            self._quiet_since += now - begin
        self._delivering = False
        return wanted
