"""The log of requests that failed, without what they said: their addresses hold the token."""

from __future__ import annotations

import logging
import time

__all__ = ["request_log"]


def request_log() -> logging.Logger:
    """A logger for aiohttp that names errors by their kind alone.

    Their texts and tracebacks quote the request, so both are left out; at every level that a user may ask for.
    """
    logger = logging.getLogger(__name__)
    logger.setLevel(logging.WARNING)
    logger.addFilter(_without_request)  # added once, however often this is called
    logger.addFilter(_bounded)
    return logger


class _Bounded:
    """Lets a few lines a minute through: whoever floods the page must not fill the disk with its log."""

    def __init__(self, lines: int, seconds: float) -> None:
        self._lines, self._seconds = lines, seconds
        self._begin, self._count = -seconds, 0

    def filter(self, record: logging.LogRecord) -> bool:
        now = time.monotonic()
        if now - self._begin >= self._seconds:
            self._begin, self._count = now, 0
        self._count += 1
        if self._count == self._lines:
            record.msg, record.args = f"{record.getMessage()}; further ones are not told for a while", ()
        return self._count <= self._lines


_bounded = _Bounded(10, 60.0)


def _without_request(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    if error is not None:
        record.msg, record.args = f"{record.getMessage()} ({type(error).__name__})", ()
    record.exc_info = record.exc_text = None
    return True
