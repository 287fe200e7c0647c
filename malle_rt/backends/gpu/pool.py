"""Device memory for results that stay on the GPU: what we lend to encoders."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from contextlib import ExitStack

import numpy as np

from malle_rt.backends.base import FrameShape, Planes420
from malle_rt.backends.gpu.borrowed import plane_types
from malle_rt.backends.gpu.layout import PlaneLayout
from malle_rt.cuda.driver import DeviceBuffer, Driver
from malle_rt.cuda.export import LentArray
from malle_rt.cuda.opening import open_driver
from malle_rt.frame import Surface

__all__ = ["Lease", "SurfacePool"]


class SurfacePool:
    """Device memory for results that leave a session and outlive it.

    A buffer is used again when nobody holds its surface, or one of its planes, any more; another one is made
    when none is free: an encoder may need many frames before it gives the first one back, so waiting for that could
    take for ever. What bounds them is who takes frames: channels, and the encoder's own look-ahead.

    NVENC keeps the addresses it has seen. So nothing is freed one by one, but all of it when the pool was closed and
    the last surface has come back; whoever feeds an encoder keeps one as long as the encoder lives.

    Args:
        driver: of the session. The pool opens another one on the same GPU: the context, too, must stay that long.
        nbytes: of one frame.
    """

    def __init__(self, driver: Driver, nbytes: int) -> None:
        self._driver = open_driver(driver.name, driver.device.index)
        self._nbytes = nbytes
        self._idle: deque[DeviceBuffer] = deque()
        self._made = 0
        self._closed = False

    def take(self) -> Lease:
        """A buffer, for as long as the lease lives."""
        try:
            buffer = self._idle.popleft()
        except IndexError:
            buffer = self._driver.allocate(self._nbytes)
            self._made += 1
        lease = Lease(buffer.pointer, self._driver)
        # No lock here: the last reference may go away anywhere, also in the middle of ``take``.
        weakref.finalize(lease, self._take_back, buffer).atexit = False
        return lease

    def close(self) -> None:
        """Free everything, at once or when the last surface has come back. May be called twice."""
        self._closed = True
        if len(self._idle) == self._made:
            self._release().join()

    def _take_back(self, buffer: DeviceBuffer) -> None:
        self._idle.append(buffer)
        if self._closed and len(self._idle) == self._made:
            self._release()

    def _release(self) -> threading.Thread:
        """In a thread of its own: closing a driver leaves its thread without a context, which others may need."""
        thread = threading.Thread(target=self._driver.close, name="malle-gpu-release")
        thread.start()
        return thread


class Lease:
    """A buffer of a pool.

    Attributes:
        pointer: its address.
    """

    def __init__(self, pointer: int, driver: Driver) -> None:
        self.pointer = pointer
        self._driver = driver

    def surface(self, shape: FrameShape, layout: PlaneLayout) -> Surface:
        """A surface that keeps this lease.

        Args:
            shape: of the frame, with pitches.
            layout: of a surface of this shape.
        """
        assert shape.pitches is not None
        device = self._driver.device.index
        y, uv = (
            LentArray(self.pointer + offset, size, strides, dtype, device, self)
            for offset, (size, strides, dtype) in zip(layout.offsets, plane_types(shape), strict=False)
        )
        size = (shape.width, shape.height)
        return Surface((y, uv), shape.pitches, size, lambda: self._download(layout))

    def _download(self, layout: PlaneLayout) -> Planes420:
        """Y, U, V in host memory."""
        self._driver.make_current()
        with ExitStack() as undo:
            host = self._driver.pinned((layout.told,), np.uint8)
            undo.callback(host.close)
            stream = self._driver.stream()
            undo.callback(stream.close)
            self._driver.download(host.array, self.pointer, stream)
            stream.synchronize()
            return layout.copied(host.array)
