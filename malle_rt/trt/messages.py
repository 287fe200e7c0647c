"""What TensorRT says: into Python's logging, and its errors into ours."""

from __future__ import annotations

import logging
import re
import threading
from collections import deque
from typing import Any

__all__ = ["Messages"]

log = logging.getLogger(__name__)

_KEPT = 20  # errors
# "[optimizer.cpp::reportError::123] Error Code 4: Internal Error (the part that tells something)"
_PREFIX = re.compile(r"^(\[[^\]]*\]\s*)?(I\w+::\w+:\s*)?(Error Code \d+:\s*)?")


class Messages:
    """The logger of one flavour; its errors are kept for the exceptions that follow them.

    Attributes:
        logger: what TensorRT's constructors take.
    """

    def __init__(self, module: Any) -> None:
        self._errors: deque[str] = deque(maxlen=_KEPT)
        self._lock = threading.Lock()
        self.logger = _logger(module, self._receive)

    def forget(self) -> None:
        """Start a new piece of work: what was said before does not belong to it."""
        with self._lock:
            self._errors.clear()

    def last_error(self) -> str:
        """The latest error since ``forget``, on one line; "no reason given" when there was none."""
        with self._lock:
            return self._errors[-1] if self._errors else "no reason given"

    def _receive(self, level: int, text: str) -> None:
        line = " ".join(text.split())
        if level >= logging.ERROR:
            with self._lock:
                self._errors.append(_PREFIX.sub("", line))
            level = logging.DEBUG  # an exception with the same words follows; a user reads it once
        log.log(level, "%s", line)


def _logger(module: Any, receive: Any) -> Any:
    severity = module.ILogger.Severity
    levels = {
        severity.INTERNAL_ERROR: logging.ERROR,
        severity.ERROR: logging.ERROR,
        severity.WARNING: logging.DEBUG,  # TensorRT warns of much that no user can change
    }

    class Logger(module.ILogger):  # type: ignore[misc]  # the base is only known at run time
        def __init__(self) -> None:
            module.ILogger.__init__(self)

        def log(self, level: Any, text: str) -> None:
            # Verbose lines come by the thousand and tell a user nothing.
            if level in levels:
                receive(levels[level], text)

    return Logger()
