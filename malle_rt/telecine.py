"""Film of 24 pictures a second that was made into 60 fields by repeating some for good (hard telecine, 3:2 pulldown).

Of five frames, one has the top field of the frame before, and another one, two or three frames apart, its bottom field.
Fields are compared as thumbnails of block means, in which noise averages out.
"""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt

from malle_rt.frame import Plane

__all__ = ["TelecineDetector"]

BLOCK = 16  # side of what becomes one value of the thumbnail, in pixels
PERIOD = 5  # frames
PERIODS = 4  # that must show the pattern
REPEATED = 0.5  # of the least change between other fields: a repeated one changes less in every period

Thumbnail = npt.NDArray[np.float32]


class TelecineDetector:
    """Looks at the fields of interlaced frames as they come, until it has found the pattern."""

    def __init__(self) -> None:
        self._found = False
        self._last: tuple[Thumbnail, Thumbnail] | None = None
        self._changes: tuple[deque[float], deque[float]] = (
            deque(maxlen=PERIOD * PERIODS),
            deque(maxlen=PERIOD * PERIODS),
        )

    def update(self, top: Plane, bottom: Plane) -> bool:
        """Whether the pattern has just been found; that is once at most.

        Args:
            top: (rows, columns) luma of the next frame's top field.
            bottom: likewise.
        """
        if self._found:
            return False
        now, last = (_thumbnail(top), _thumbnail(bottom)), self._last
        self._last = now
        if last is None or last[0].shape != now[0].shape or last[1].shape != now[1].shape or not now[0].size:
            for changes in self._changes:
                changes.clear()
            return False
        for changes, new, old in zip(self._changes, now, last, strict=True):
            changes.append(float(np.abs(new - old).mean()))
        phases = [_phase(changes) for changes in self._changes]
        if phases[0] is not None and phases[1] is not None:
            self._found = (phases[0] - phases[1]) % PERIOD in (2, 3)
        return self._found


def _phase(changes: deque[float]) -> int | None:
    """Which frame of five repeats the field of the one before, counted from the oldest; None without a pattern."""
    if len(changes) < PERIOD * PERIODS:
        return None
    table = np.array(changes).reshape(PERIODS, PERIOD)
    phase = int(np.argmin(table.mean(0)))
    others = np.delete(table, phase, axis=1)
    return phase if table[:, phase].max() < REPEATED * others.min() else None


def _thumbnail(luma: Plane) -> Thumbnail:
    """Means of blocks."""
    rows, columns = (side // BLOCK for side in luma.shape)
    blocks = luma[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK)
    thumbnail: Thumbnail = blocks.mean((1, 3), dtype=np.float32)
    return thumbnail
