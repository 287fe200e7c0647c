"""Frames that were started and not yet finished: what keeps a device busy while earlier results travel."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from malle_rt.frame import Frame, Packet
from malle_rt.pipeline.stats import Stats
from malle_rt.protocols import Denoiser

__all__ = ["Lookahead"]

# Items in all; beyond that frames are finished rather than packets piled up behind them.
_MOST = 64


class Lookahead:
    """Starts frames, keeps them and the packets between them in order, and gives them back finished.

    ``len`` is the number of items inside.
    """

    def __init__(self, denoiser: Denoiser, stats: Stats) -> None:
        self._denoiser = denoiser
        self._stats = stats
        self._items: deque[Packet | tuple[float, Callable[[], Frame]]] = deque()
        self._frames = 0

    def __len__(self) -> int:
        return len(self._items)

    @property
    def full(self) -> bool:
        """Whether an item should be taken out before the next goes in."""
        if self._items and isinstance(self._items[0], Packet):
            return True
        return self._frames > self._denoiser.ahead or len(self._items) > _MOST

    def put(self, item: Frame | Packet) -> None:
        """Start a frame, or keep a packet in its place."""
        if isinstance(item, Packet):
            self._items.append(item)
            return
        begin = time.perf_counter()
        with self._stats.working("denoise"):
            self._items.append((begin, self._denoiser.start(item)))
        self._frames += 1

    def take(self) -> Frame | Packet:
        """The oldest item, finished."""
        item = self._items.popleft()
        if isinstance(item, Packet):
            return item
        begin, finish = item
        with self._stats.working("denoise"):
            frame = finish()
        self._frames -= 1
        self._stats.denoised(time.perf_counter() - begin)
        return frame
