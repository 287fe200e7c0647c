"""Frames in a GPU's memory that others lend us: pictures that NVDEC has decoded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from malle_rt.backends.base import FrameShape
from malle_rt.cuda import dlpack
from malle_rt.errors import ConfigError
from malle_rt.frame import Surface

__all__ = ["DECODER", "Borrowed", "BorrowedPlane", "DecoderStream", "plane_types"]


@dataclass(frozen=True)
class DecoderStream:
    """The legacy default stream, by its own handle.

    FFmpeg decodes in it: its copy of a picture out of NVDEC may still be running when PyAV hands the picture over,
    and PyAV makes no other stream wait for it. Ours do not wait for the default stream by themselves, so the
    session lets them wait for an event in it.
    """

    handle: int = 1
    native: None = None  # PyCUDA's name for it


DECODER = DecoderStream()


@dataclass(frozen=True)
class BorrowedPlane:
    """A plane in device memory that somebody lent us.

    Attributes:
        pointer: its address.
        nbytes: from its first byte to its last, gaps between rows included.
    """

    pointer: int
    nbytes: int


class Borrowed:
    """The planes of a surface, held until ``release``.

    Args:
        surface: on an NVIDIA GPU.
        shape: what it must be.
        device: number of the GPU where it must be.

    Attributes:
        planes: Y and UV.

    Raises:
        ConfigError: it is something else, or elsewhere.
    """

    def __init__(self, surface: Surface, shape: FrameShape, device: int) -> None:
        for plane in surface.device:
            if tuple(map(int, plane.__dlpack_device__())) != (dlpack.CUDA, device):
                raise ConfigError(
                    f"a frame lies on DLPack device {plane.__dlpack_device__()}, wanted GPU {device}"
                )
        # No stream is named: PyAV refuses one, and what it lends is ordered by the session.
        self._tensors = [dlpack.take(plane.__dlpack__()) for plane in surface.device]
        self.planes = [
            _checked(tensor, *wanted)
            for tensor, wanted in zip(self._tensors, plane_types(shape), strict=True)
        ]

    def release(self) -> None:
        """Give the memory back. May be called twice."""
        for tensor in self._tensors:
            tensor.release()


def plane_types(shape: FrameShape) -> list[tuple[tuple[int, ...], tuple[int, ...], np.dtype[np.generic]]]:
    """Shape, strides in bytes and dtype of Y and UV."""
    assert shape.pitches is not None
    dtype = np.dtype(np.uint8 if shape.bits == 8 else np.uint16)
    luma, chroma = shape.pitches
    half = (shape.height // 2, shape.width // 2, 2)
    return [
        ((shape.height, shape.width), (luma, dtype.itemsize), dtype),
        (half, (chroma, 2 * dtype.itemsize, dtype.itemsize), dtype),
    ]


def _checked(
    tensor: dlpack.Tensor, shape: tuple[int, ...], strides: tuple[int, ...], dtype: np.dtype[np.generic]
) -> BorrowedPlane:
    found = (tensor.shape, tensor.strides, tensor.dtype)
    if found != (shape, strides, dtype):
        raise ConfigError(
            f"a plane on the GPU has (shape, strides, dtype) {found}, wanted {(shape, strides, dtype)}"
        )
    last = sum((size - 1) * step for size, step in zip(shape, strides, strict=True))
    return BorrowedPlane(tensor.pointer, last + dtype.itemsize)
