"""The log of requests that failed, without what they said: their addresses hold the token."""

from __future__ import annotations

import logging

__all__ = ["request_log"]


def request_log() -> logging.Logger:
    """A logger for aiohttp that names errors by their kind alone.

    Their texts and tracebacks quote the request, so both are left out; at every level that a user may ask for.
    """
    logger = logging.getLogger(__name__)
    logger.setLevel(logging.WARNING)
    logger.addFilter(_without_request)  # added once, however often this is called
    return logger


def _without_request(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    if error is not None:
        record.msg, record.args = f"{record.getMessage()} ({type(error).__name__})", ()
    record.exc_info = record.exc_text = None
    return True
