"""The pace of a file that plays as if it were a camera."""

from __future__ import annotations

import time
from fractions import Fraction

__all__ = ["Pace"]

# Seconds that timestamps and the clock may be apart. Further behind, a slow reader would play in bursts for ever;
# further ahead, nobody could tell a gap in a file from a source that hangs.
_FARTHEST = 1.0


class Pace:
    """Holds each frame back until it is due.

    A frame that comes late goes at once and does not delay the next one. Where timestamps and clock have drifted
    apart by more than a second, they start anew from there.
    """

    def __init__(self) -> None:
        self._zero: float | None = None

    def wait(self, instant: Fraction) -> float:
        """Wait for the frame at ``instant`` seconds of its own timeline, for a second at most.

        Returns:
            When it was due, on the clock of ``time.monotonic``.
        """
        now = time.monotonic()
        due = now if self._zero is None else self._zero + float(instant)
        if due < now - _FARTHEST:
            due = now
        due = min(due, now + _FARTHEST)
        self._zero = due - float(instant)
        if due > now:
            time.sleep(due - now)
        return due
