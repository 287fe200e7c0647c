"""What has just happened, for as long as a person needs to read it."""

from __future__ import annotations

import logging
import threading
import time

__all__ = ["News"]

log = logging.getLogger(__name__)

_SECONDS = 4.0  # a line stays this long


class News:
    """One line at a time, from any thread; the newest wins."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._text: str | None = None
        self._until = 0.0

    def say(self, text: str) -> None:
        """Show a line for a few seconds."""
        with self._lock:
            self._text, self._until = text, time.monotonic() + _SECONDS

    def warn(self, text: str) -> None:
        """The same for what went wrong; it is logged too, for sessions that nobody looks at."""
        log.warning("%s", text)
        self.say(text)

    @property
    def text(self) -> str | None:
        """What to show now."""
        with self._lock:
            return self._text if time.monotonic() < self._until else None
