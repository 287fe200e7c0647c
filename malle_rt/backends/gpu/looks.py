"""What the host sees of frames that stay on the GPU: a few numbers, brought down by themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from math import prod
from typing import cast

import numpy as np
import numpy.typing as npt

from malle_rt.backends.base import FrameShape
from malle_rt.backends.gpu.borrowed import Borrowed
from malle_rt.cuda.driver import Driver, Stream
from malle_rt.cuda.kernels import Kernels
from malle_rt.cuda.launches import DevicePlanes, Launch
from malle_rt.cuda.looks import block_sums_launch, blocks_of, parts_launch
from malle_rt.errors import ConfigError
from malle_rt.frame import Plane

__all__ = ["SurfaceLooks"]

_ROOM = 1 << 18  # bytes: four parts of 96 x 160 with their chroma in 16 bits, or the blocks of an 8K picture


class SurfaceLooks:
    """Reads from surfaces of one shape, each look in one kernel and one small copy. Used by the session's thread.

    Args:
        driver: opened on the device, current on this thread.
        kernels: loaded on it.
        shape: of the frames, with pitches.
    """

    def __init__(self, driver: Driver, kernels: Kernels, shape: FrameShape) -> None:
        self._driver, self._kernels, self._shape = driver, kernels, shape
        with ExitStack() as undo:
            # Not the session's upload stream: what is read here need not wait for frames that are under way.
            self.stream: Stream = undo.enter_context(closing(driver.stream()))
            self._read = undo.enter_context(closing(driver.event()))
            self._device = undo.enter_context(closing(driver.allocate(_ROOM))).pointer
            self._host = undo.enter_context(closing(driver.pinned((_ROOM,), np.uint8))).array
            self.close: Callable[[], None] = undo.pop_all().close

    def block_sums(self, borrowed: Borrowed, step: int) -> npt.NDArray[np.uint32]:
        """See ``SurfaceSession``; the surface may be given back afterwards."""
        shape = blocks_of(self._shape.width, self._shape.height, step)
        if not prod(shape):
            return np.zeros(shape, np.uint32)
        launch = block_sums_launch(self._planes(borrowed), step, self._device)
        return self._look(launch, 4 * prod(shape)).view(np.uint32).reshape(shape)

    def parts(self, borrowed: Borrowed, parts: Sequence[tuple[slice, slice]]) -> tuple[Plane, Plane]:
        """See ``SurfaceSession``; the surface may be given back afterwards."""
        dtype = np.dtype(np.uint8 if self._shape.bits == 8 else np.uint16)
        rows, columns = (side.stop - side.start for side in parts[0])
        samples = len(parts) * rows * columns
        luma = samples * dtype.itemsize
        launch = parts_launch(self._planes(borrowed), parts, self._device, self._device + luma)
        found = self._look(launch, luma * 3 // 2).view(dtype)
        half = (2, len(parts), rows // 2, columns // 2)
        return (
            cast(Plane, found[:samples].reshape(len(parts), rows, columns)),
            cast(Plane, found[samples:].reshape(half)),
        )

    def _look(self, launch: Launch, nbytes: int) -> npt.NDArray[np.uint8]:
        if nbytes > _ROOM:
            raise ConfigError(f"a look takes up to {_ROOM} bytes, got {nbytes}")
        self._kernels.start(launch, self.stream.handle)
        self._driver.download(self._host[:nbytes], self._device, self.stream)
        self._read.record(self.stream)
        self._read.wait()
        found: npt.NDArray[np.uint8] = self._host[:nbytes].copy()
        return found

    def _planes(self, borrowed: Borrowed) -> DevicePlanes:
        assert self._shape.pitches is not None
        return DevicePlanes(
            pointers=tuple(plane.pointer for plane in borrowed.planes),
            pitches=self._shape.pitches,
            width=self._shape.width,
            height=self._shape.height,
            bits=self._shape.bits,
            layout="semi-planar",
        )
