"""Host memory as the driver wants to see it."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from malle_rt.cuda.driver import Host
from malle_rt.errors import KernelError

__all__ = ["nbytes_of", "pack_arguments", "require_contiguous", "require_stream", "view_memory"]


def nbytes_of(shape: tuple[int, ...], dtype: npt.DTypeLike) -> int:
    """Bytes of an array."""
    return math.prod(shape) * np.dtype(dtype).itemsize


def view_memory(address: int, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Host:
    """Memory as a C-contiguous array; it does not own the memory."""
    memory = (ctypes.c_ubyte * nbytes_of(shape, dtype)).from_address(address)
    return np.frombuffer(memoryview(memory).cast("B"), np.dtype(dtype)).reshape(shape)


def require_contiguous(array: Host, *, writeable: bool = False) -> None:
    """A copy takes one run of bytes. Raises ``KernelError`` where the array is not that."""
    if not array.flags.c_contiguous:
        raise KernelError(
            f"host array of shape {array.shape} and strides {array.strides} is not C-contiguous: copy it first"
        )
    if writeable and not array.flags.writeable:
        raise KernelError(f"host array of shape {array.shape} is read-only: it cannot take a copy")


def require_stream(handle: int, kernel: str) -> None:
    """Raise ``KernelError`` for the default stream, on which a kernel would wait for all other work."""
    if not handle:
        raise KernelError(
            f"{kernel} on the default stream (handle 0), which waits for all others: make a stream"
        )


def pack_arguments(arguments: Sequence[Any]) -> ctypes.Array[ctypes.c_void_p]:
    """The addresses of a kernel's arguments, in the form of cuLaunchKernel; keep both until it returns."""
    return _pointers(len(arguments))(*map(ctypes.addressof, arguments))


@cache  # making an array type costs more than the launch
def _pointers(count: int) -> type[ctypes.Array[ctypes.c_void_p]]:
    return ctypes.c_void_p * count
