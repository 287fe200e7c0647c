"""Pictures in a GPU's memory without a decoder: made on the host implementation of the driver, whose device memory is
the host's."""

from __future__ import annotations

import ctypes
import threading
import weakref

import numpy as np

from malle_rt.backends.base import FrameShape
from malle_rt.cuda.export import LentArray
from malle_rt.frame import Surface

__all__ = ["FakeDecoder", "surface_planes", "wait_for_release"]


class FakeDecoder:
    """Stands in for NVDEC: each picture is still on its way, in the decoder's own CUDA stream, when it is given out.

    Memory that comes back is overwritten at once, as the next picture would do.

    Attributes:
        stream: the decoder's.
        out: pictures that somebody still holds.
        downloads: pictures that somebody looked at on the host.
    """

    def __init__(self, driver, shape: FrameShape) -> None:
        self._driver, self._shape = driver, shape
        self.stream = driver.stream()
        self.out = self.downloads = 0
        self._closed = False
        self._buffers = []

    def picture(self, planes) -> Surface:
        """NV12, or P010 for more than 8 bits, of planar 4:2:0 planes."""
        shape = self._shape
        (luma, chroma), (rows, columns) = shape.pitches, planes[0].shape
        dtype = planes[0].dtype
        half, start = rows // 2, rows * luma
        pinned = self._driver.pinned((start + half * chroma,), np.uint8)
        buffer = self._driver.allocate(pinned.array.nbytes)
        self._buffers += [pinned, buffer]
        shift = 16 - shape.bits if shape.bits > 8 else 0
        high = [plane << shift for plane in planes]
        np.ndarray((rows, columns), dtype, pinned.array.data, 0, (luma, dtype.itemsize))[...] = high[0]
        steps = (chroma, 2 * dtype.itemsize, dtype.itemsize)
        mixed = np.ndarray((half, columns // 2, 2), dtype, pinned.array.data, start, steps)
        mixed[...] = np.stack(high[1:], axis=-1)
        self._driver.upload(buffer.pointer, pinned.array, self.stream)
        owner = _Owner()
        self.out += 1
        weakref.finalize(owner, self._back, buffer)
        y = LentArray(buffer.pointer, (rows, columns), (luma, dtype.itemsize), dtype, 0, owner)
        uv = LentArray(buffer.pointer + start, mixed.shape, steps, dtype, 0, owner)
        return Surface((y, uv), shape.pitches, (columns, rows), lambda: self._download(planes))

    def close(self) -> None:
        """Free everything; nothing may be in use."""
        self._closed = True
        for each in (*self._buffers, self.stream):
            each.close()

    def _back(self, buffer) -> None:
        self.out -= 1
        if not self._closed:
            ctypes.memset(buffer.pointer, 0xAA, buffer.nbytes)

    def _download(self, planes):
        self.downloads += 1
        return planes


class _Owner:
    """Whoever holds it holds a picture."""


def surface_planes(surface: Surface, bits: int):
    """Y, U, V of a surface as they lie in device memory right now; code values in the low bits."""
    shift = 16 - bits if bits > 8 else 0
    y, mixed = (
        np.ndarray(
            plane.shape,
            plane.dtype,
            (ctypes.c_ubyte * _span(plane)).from_address(plane.pointer),
            0,
            plane.strides,
        )
        for plane in surface.device
    )
    return y >> shift, mixed[..., 0] >> shift, mixed[..., 1] >> shift


def _span(plane: LentArray) -> int:
    return (
        sum((size - 1) * step for size, step in zip(plane.shape, plane.strides, strict=True))
        + plane.dtype.itemsize
    )


def wait_for_release() -> None:
    """Wait for the thread that frees what the last surface held."""
    for thread in threading.enumerate():
        if thread.name == "malle-gpu-release":
            thread.join(timeout=10)
