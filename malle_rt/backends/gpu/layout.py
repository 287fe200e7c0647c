"""How a frame lies in one block of memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from malle_rt.backends.base import FrameShape, Planes420
from malle_rt.cuda.driver import Host
from malle_rt.cuda.launches import DevicePlanes, Layout
from malle_rt.frame import Plane

__all__ = ["PlaneLayout"]

_ALIGNED = 256  # bytes; every row starts where the widest vector load may


@dataclass(frozen=True)
class PlaneLayout:
    """Where Y, U, V and what is told of the noise lie in one block of memory, the same on the host and on the device.

    Attributes:
        kind: U and V apart, or in turns in one plane with the code values in the high bits, as in NV12 and P010.
        shapes: (rows, columns) of Y, U, V.
        pitches: bytes from row to row of each.
        offsets: bytes from the start of the block to each.
        told: bytes to what is told of the noise, up to four float32; the planes end before it.
        nbytes: of the whole block.
        dtype: of a sample.
        bits: of a code value.
    """

    kind: Layout
    shapes: tuple[tuple[int, int], ...]
    pitches: tuple[int, ...]
    offsets: tuple[int, ...]
    told: int
    nbytes: int
    dtype: np.dtype[Any]
    bits: int

    @classmethod
    def of(cls, shape: FrameShape, *, surface: bool = False) -> PlaneLayout:
        """The layout for frames of a size and depth.

        Args:
            shape: of the frames.
            surface: as a ``Surface`` has it, in the shape's pitches.
        """
        dtype = np.dtype(np.uint8 if shape.bits == 8 else np.uint16)
        small = (-(-shape.height // 2), -(-shape.width // 2))
        shapes = ((shape.height, shape.width), small, small)
        if surface and shape.pitches is not None:
            luma, chroma = shape.pitches
            behind = dtype.itemsize
        else:
            luma, chroma = (_up(columns * dtype.itemsize) for _, columns in shapes[:2])
            behind, surface = small[0] * chroma, False
        u = shape.height * luma
        end = _up(u + small[0] * chroma + behind)
        kind: Layout = "semi-planar" if surface else "planar"
        return cls(
            kind, shapes, (luma, chroma, chroma), (0, u, u + behind), end, end + _ALIGNED, dtype, shape.bits
        )

    def planes(self, block: Host) -> tuple[Plane, ...]:
        """Y, U, V as views into a block of host memory, (nbytes,) uint8; samples as they lie there."""
        size = self.dtype.itemsize
        steps = (size, 2 * size, 2 * size) if self.kind == "semi-planar" else (size,) * 3
        return tuple(
            np.ndarray(shape, self.dtype, block.data, offset, (pitch, step))
            for shape, pitch, offset, step in zip(self.shapes, self.pitches, self.offsets, steps, strict=True)
        )

    def copied(self, block: Host) -> Planes420:
        """Y, U, V in new memory, code values in the low bits."""
        low = 16 - self.bits if self.kind == "semi-planar" and self.bits > 8 else 0
        y, u, v = (np.right_shift(plane, low) if low else plane.copy() for plane in self.planes(block))
        return y, u, v

    def levels(self, block: Host, count: int) -> npt.NDArray[np.float32]:
        """What is told of the noise as a view into a block of host memory, (count,)."""
        levels: npt.NDArray[np.float32] = np.ndarray((count,), np.float32, block.data, self.told)
        return levels

    def on_device(self, block: int) -> DevicePlanes:
        """The planes of a block of device memory, for our kernels."""
        count = 2 if self.kind == "semi-planar" else 3
        return DevicePlanes(
            pointers=tuple(block + offset for offset in self.offsets[:count]),
            pitches=self.pitches[:count],
            width=self.shapes[0][1],
            height=self.shapes[0][0],
            bits=self.bits,
            layout=self.kind,
        )


def _up(nbytes: int) -> int:
    return -(-nbytes // _ALIGNED) * _ALIGNED
