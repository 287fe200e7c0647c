"""How a live input fares, for whoever displays it."""

from __future__ import annotations

import threading
import time

from malle_rt.live.statistics import Rate, SourceState

__all__ = ["SourceStatus"]


class SourceStatus:
    """Facts on a live input, noted by the threads that read and watch it, read by any.

    Attributes:
        state: "waiting" for the first picture, "live", "lost" while it reconnects, "ended".
        description: the input and its mode at the newest connection, one line; "" before it was first open.
        connection: number of the newest connection, from 1.
        rate: of the pictures that come.
    """

    def __init__(self) -> None:
        self.state: SourceState = "waiting"
        self.description = ""
        self.connection = 0
        self.rate = Rate()
        self._lock = threading.Lock()
        self._last_picture = time.monotonic()
        self._attempt = 0
        self._retry_at: float | None = None

    def opened(self, description: str) -> None:
        """A connection is open."""
        self.description = description
        self.connection += 1

    def picture(self, captured: float, seconds: float) -> None:
        """A picture has come, taken at ``captured`` on the clock of ``time.monotonic``, at ``seconds`` on its own."""
        self.rate.add(captured, seconds)
        with self._lock:
            self._last_picture = time.monotonic()
            if self.state != "ended":
                self.state = "live"

    def lost(self, attempt: int, retry_at: float | None) -> None:
        """The input is gone; attempt number ``attempt`` begins at ``retry_at``, or has begun where that is None."""
        with self._lock:
            self.state, self._attempt, self._retry_at = "lost", attempt, retry_at

    def ended(self) -> None:
        """Nothing more will come."""
        with self._lock:
            self.state = "ended"

    @property
    def lost_since(self) -> float | None:
        """When the last picture came, on the clock of ``time.monotonic``; None unless the input is lost."""
        with self._lock:
            return self._last_picture if self.state == "lost" else None

    @property
    def problem(self) -> str | None:
        """What a viewer must know while the input is lost, one line without passwords; None otherwise."""
        with self._lock:
            if self.state != "lost":
                return None
            now = time.monotonic()
            name = self.description.partition(", ")[0]
            when = "" if self._retry_at is None else f" in {max(0.0, self._retry_at - now):.0f} s"
            return (
                f"no picture from {name} for {now - self._last_picture:.0f} s; "
                f"reconnecting{when} (attempt {self._attempt})"
            )
