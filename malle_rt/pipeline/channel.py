"""The bounded queue between two stages."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator

from malle_rt.frame import Frame, Packet, Surface
from malle_rt.pipeline.config import PipelineConfig

__all__ = ["Channel"]

# Seconds. Every wait ends by itself, so that a lost wake-up costs a moment and never the run.
_LONGEST_WAIT = 0.2
# Packets are small but not free: a file that stores all its sound first must not be read into memory.
# Some seconds of sound.
_MOST_PACKETS = 256


class Channel:
    """Frames and packets in order, from one stage to the next.

    ``depth`` frames may wait, and packets beside them in a bound of their own: lost sound cannot be made up for by
    the next picture.

    Attributes:
        came: frames that came so far, those dropped included.
        dropped: frames dropped so far: to make room for newer ones, or because they came when it was closed.
        dropped_packets: packets dropped so far, which only ``offer`` does, and a closed channel.
    """

    def __init__(self, config: PipelineConfig) -> None:
        self.came = 0
        self.dropped = 0
        self.dropped_packets = 0
        self._depth = config.depth
        self._items: deque[Frame | Packet] = deque()
        self._frames = 0
        self._most_bytes = config.megabytes * 1_000_000
        self._bytes = 0
        self._closed = False
        self._changed = threading.Condition()

    def put(self, item: Frame | Packet) -> bool:
        """Add an item, waiting while it is full: nothing is lost. False once the channel is closed."""
        with self._changed:
            while not self._closed and self._is_full(item):
                self._changed.wait(_LONGEST_WAIT)
            return self._add(item)

    def offer(self, item: Frame | Packet) -> bool:
        """Add an item at once: in a full channel the oldest frame makes room for a frame, and a packet is dropped.

        Returns:
            False where the item was not taken.
        """
        with self._changed:
            while not self._closed and isinstance(item, Frame) and self._is_full(item):
                self._drop_oldest()
            return self._add(item)

    def close(self) -> None:
        """Take nothing more; what waits can still be read. May be called twice and from any thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def __len__(self) -> int:
        """Frames that wait now."""
        with self._changed:
            return self._frames

    def __iter__(self) -> Iterator[Frame | Packet]:
        """Items as they come; after ``close``, what is left, and then the end."""
        while (item := self._get()) is not None:
            yield item

    def _get(self) -> Frame | Packet | None:
        with self._changed:
            while not self._items:
                if self._closed:
                    return None
                self._changed.wait(_LONGEST_WAIT)
            item = self._items.popleft()
            self._count(item, -1)
            self._changed.notify_all()
            return item

    def _add(self, item: Frame | Packet) -> bool:
        taken = not self._closed and not self._is_full(item)
        self.came += isinstance(item, Frame)
        if taken:
            self._items.append(item)
            self._count(item, 1)
            self._changed.notify_all()
        elif isinstance(item, Frame):
            self.dropped += 1
        else:
            self.dropped_packets += 1
        return taken

    def _is_full(self, item: Frame | Packet) -> bool:
        if isinstance(item, Frame):
            return self._frames >= self._depth or (self._frames > 0 and self._bytes >= self._most_bytes)
        return len(self._items) - self._frames >= _MOST_PACKETS

    def _count(self, item: Frame | Packet, sign: int) -> None:
        if isinstance(item, Frame):
            self._frames += sign
            self._bytes += sign * _size_of(item)

    def _drop_oldest(self) -> None:
        for index, item in enumerate(self._items):
            if isinstance(item, Frame):
                del self._items[index]
                self._count(item, -1)
                self.dropped += 1
                return


def _size_of(frame: Frame) -> int:
    """Bytes of host memory that the planes take."""
    return 0 if isinstance(frame.planes, Surface) else sum(plane.nbytes for plane in frame.planes)
