"""How a live input fares, for whoever displays it."""

from __future__ import annotations

import threading
import time
from collections import deque

from malle_rt.live.statistics import SourceState

__all__ = ["SourceStatus"]

_SPAN = 3.0  # seconds of pictures that the rate is taken over
_MOST = 1024  # pictures kept for it
_PAUSE = 0.5  # seconds of silence from which on they lower the rate


class SourceStatus:
    """Facts on a live input, noted by the threads that read and watch it, read by any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._state: SourceState = "waiting"
        self._description = ""
        self._connection = 0
        self._pictures = 0
        self._last_picture = time.monotonic()
        self._recent: deque[tuple[float, float]] = deque(maxlen=_MOST)
        self._attempt = 0
        self._retry_at: float | None = None

    def opened(self, description: str) -> None:
        """A connection is open."""
        with self._lock:
            self._description = description
            self._connection += 1

    def picture(self, captured: float, seconds: float) -> None:
        """A picture has come, taken at ``captured`` on the clock of ``time.monotonic``, at ``seconds`` on its own."""
        with self._lock:
            self._pictures += 1
            self._last_picture = time.monotonic()
            self._recent.append((captured, seconds))
            if self._state != "ended":
                self._state = "live"

    def lost(self, attempt: int, retry_at: float | None) -> None:
        """The input is gone; attempt number ``attempt`` begins at ``retry_at``, or has begun where that is None."""
        with self._lock:
            self._state, self._attempt, self._retry_at = "lost", attempt, retry_at

    def ended(self) -> None:
        """Nothing more will come."""
        with self._lock:
            self._state = "ended"

    @property
    def state(self) -> SourceState:
        """Of the input."""
        with self._lock:
            return self._state

    @property
    def description(self) -> str:
        """The input and its mode, one line; "" before it was first open."""
        with self._lock:
            return self._description

    @property
    def connection(self) -> int:
        """How many connections there have been."""
        with self._lock:
            return self._connection

    @property
    def pictures(self) -> int:
        """How many have come."""
        with self._lock:
            return self._pictures

    @property
    def lost_since(self) -> float | None:
        """When the last picture came, on the clock of ``time.monotonic``; None unless the input is lost."""
        with self._lock:
            return self._last_picture if self._state == "lost" else None

    @property
    def fps(self) -> float:
        """Pictures per second of late; 0 where there were hardly any."""
        now = time.monotonic()
        with self._lock:
            recent = [both for both in self._recent if both[0] > now - _SPAN]
        if len(recent) < 2:
            return 0.0
        (first, begin), (last, end) = recent[0], recent[-1]
        # A connection may begin with a second of pictures at once: by the clock alone, that would be a high rate.
        span = max((last if now - last < _PAUSE else now) - first, end - begin)
        return (len(recent) - 1) / span if span > 0 else 0.0

    @property
    def problem(self) -> str | None:
        """What a viewer must know while the input is lost, one line; None otherwise."""
        with self._lock:
            if self._state != "lost":
                return None
            now = time.monotonic()
            name = self._description.partition(", ")[0]
            when = "" if self._retry_at is None else f" in {max(0.0, self._retry_at - now):.0f} s"
            return (
                f"no picture from {name} for {now - self._last_picture:.0f} s; "
                f"reconnecting{when} (attempt {self._attempt})"
            )
