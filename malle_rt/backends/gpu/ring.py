"""The ring of slots through which frames pass between the host and the device."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing

import numpy as np

from malle_rt.backends.base import Planes420
from malle_rt.backends.gpu.borrowed import Borrowed
from malle_rt.backends.gpu.layout import PlaneLayout
from malle_rt.cuda.driver import Driver, Stream
from malle_rt.errors import KernelError
from malle_rt.frame import Surface

__all__ = ["Result", "Slot"]


class Result:
    """A denoised frame on its way out of the ring.

    It sits in a slot until somebody asks for it, or until the ring needs the slot: then it moves to memory of its
    own, so that a slow reader never holds up the device.

    Args:
        read: waits for the frame and takes it out of the slot.
    """

    def __init__(self, read: Callable[[], Planes420 | Surface]) -> None:
        self._read: Callable[[], Planes420 | Surface] | None = read
        self._planes: Planes420 | Surface | None = None
        self._lock = threading.Lock()

    def settle(self) -> Planes420 | Surface:
        """Wait for the planes and give them; new memory that belongs to the caller. From any thread, repeatedly."""
        with self._lock:
            if self._read is not None:
                read, self._read = self._read, None
                self._planes = read()
            if self._planes is None:
                raise KernelError("this frame was lost when an earlier one failed on the GPU")
            return self._planes


class Slot:
    """Memory for one frame in flight, and the marks that order its three steps.

    Args:
        index: place in the ring.
        driver: opened on the device.
        before: layout of the frame as it comes.
        after: layout of the result.

    Attributes:
        index: place in the ring.
        source, target: device addresses of the frame's planes before and after.
        uploaded, computed, downloaded: marks behind the frame's steps, each in a CUDA stream of its own.
        result: the frame that was last put in; None before the first.
    """

    def __init__(self, index: int, driver: Driver, before: PlaneLayout, after: PlaneLayout) -> None:
        self.index = index
        self.result: Result | None = None
        self._driver = driver
        self._before, self._after = before, after
        self._borrowed: Borrowed | None = None
        sizes = (before.nbytes, after.nbytes)
        with ExitStack() as undo:
            # The next may find no memory: what is there is given back then.
            host = [undo.enter_context(closing(driver.pinned((size,), np.uint8))) for size in sizes]
            device = [undo.enter_context(closing(driver.allocate(size))) for size in sizes]
            self.uploaded, self.computed, self.downloaded = (
                undo.enter_context(closing(driver.event())) for _ in range(3)
            )
            self._close = undo.pop_all().close
        self._noisy, self._clean = (each.array for each in host)
        self.source, self.target = (each.pointer for each in device)

    def upload(self, planes: Planes420, told: Sequence[float], stream: Stream) -> None:
        """Start bringing a frame to the device; its former frame must have been settled."""
        for view, plane in zip(self._before.planes(self._noisy), planes, strict=True):
            view[...] = plane
        self._before.levels(self._noisy, len(told))[:] = told
        self._driver.upload(self.source, self._noisy, stream)
        self.uploaded.record(stream)

    def copy(self, borrowed: Borrowed, told: Sequence[float], stream: Stream) -> None:
        """Start copying a frame that is on the device already; as ``upload``. It is kept until it has been read."""
        self._borrowed = borrowed
        for plane, offset in zip(borrowed.planes, self._before.offsets, strict=False):
            self._driver.copy(self.source + offset, plane.pointer, plane.nbytes, stream)
        self._before.levels(self._noisy, len(told))[:] = told
        begin = self._before.told
        self._driver.upload(self.source + begin, self._noisy[begin:], stream)
        self.uploaded.record(stream)

    def download(self, stream: Stream) -> Result:
        """Start bringing the denoised frame back, once ``computed`` has been passed."""
        stream.wait_for(self.computed)
        self._driver.download(self._clean, self.target, stream)
        self.downloaded.record(stream)
        self.result = Result(self._read)
        return self.result

    def move(self, target: int, surface: Surface, stream: Stream) -> Result:
        """Start moving the denoised frame to ``surface``, which lies at ``target`` on the device; as ``download``."""
        stream.wait_for(self.computed)
        self._driver.copy(target, self.target, self._after.told, stream)
        self.downloaded.record(stream)

        def read() -> Surface:
            self._wait()
            return surface

        self.result = Result(read)
        return self.result

    def free(self) -> None:
        """Make sure that nothing of the former frame is left in the slot."""
        if self.result is not None:
            self.result.settle()

    def close(self) -> None:
        """Give the memory back; nothing may be in flight."""
        self._close()

    def _read(self) -> Planes420:
        self._wait()
        return self._after.copied(self._clean)

    def _wait(self) -> None:
        """Until the result is there, and with it all that was read on its way."""
        self._driver.make_current()  # this may be any thread
        self.downloaded.wait()
        if self._borrowed is not None:
            self._borrowed.release()
            self._borrowed = None
