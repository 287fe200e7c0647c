"""A bound on how often something may be done."""

from __future__ import annotations

import time

__all__ = ["Bucket"]


class Bucket:
    """A token bucket; used by one thread."""

    def __init__(self, per_second: float, burst: int) -> None:
        """``per_second`` in the long run, ``burst`` at once after a pause."""
        self._per_second = per_second
        self._burst = float(burst)
        self._left = float(burst)
        self._then = time.monotonic()

    def take(self) -> bool:
        """Whether it may be done once more now."""
        now = time.monotonic()
        self._left = min(self._burst, self._left + (now - self._then) * self._per_second)
        self._then = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
