"""Our device memory as other libraries take it in: PyAV's encoders, torch, CuPy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from malle_rt.cuda import dlpack

__all__ = ["LentArray"]


@dataclass(frozen=True)
class LentArray:
    """An array in GPU memory that can be borrowed by DLPack.

    Attributes:
        pointer: address of the first element.
        shape: elements along each axis.
        strides: bytes from one element to the next along each axis.
        dtype: of an element.
        device: number of the GPU.
        owner: kept until the array and every borrower have let go of it.
    """

    pointer: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype[Any]
    device: int
    owner: object

    def __dlpack_device__(self) -> tuple[int, int]:
        """Kind and number of the device."""
        return dlpack.CUDA, self.device

    def __dlpack__(self, *, stream: Any = None, **_newer: Any) -> Any:
        """Lend it. The data are complete, so there is nothing for ``stream`` to wait for."""
        kept = [self.owner]
        return dlpack.give(self.pointer, self.shape, self.strides, self.dtype, self.device, kept.clear)
