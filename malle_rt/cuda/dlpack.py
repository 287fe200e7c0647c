"""The capsule of the DLPack protocol, opened: what numpy does for CPU arrays, done for those on a GPU.

The layout is that of dlpack.h before version 1.0, which every library still hands out when it is not asked for more.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from malle_rt.errors import ConfigError

__all__ = [
    "CUDA",
    "CUDA_DEVICES",
    "HOST_DEVICES",
    "Tensor",
    "contiguous_strides",
    "give",
    "take",
]

HOST_DEVICES = {1, 3}
CUDA = 2
CUDA_DEVICES = {CUDA, 13}

_KINDS = {0: "i", 1: "u", 2: "f", 5: "c", 6: "b"}  # DLDataTypeCode -> numpy's letter

_FRESH, _TAKEN = (
    b"dltensor",
    b"used_dltensor",
)  # names of a capsule; it keeps the pointer, so they must live on


class _DLTensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


_Deleter = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class _DLManagedTensor(ctypes.Structure):
    _fields_ = (
        ("tensor", _DLTensor),
        ("manager_ctx", ctypes.c_void_p),
        ("deleter", _Deleter),
    )


class Tensor:
    """A tensor that another library lent us; goes back with ``release``, or with this object.

    Args:
        address: of the DLManagedTensor.
    """

    def __init__(self, address: int) -> None:
        self._tensor = _DLManagedTensor.from_address(address).tensor
        self._return = weakref.finalize(self, _delete, address)

    def release(self) -> None:
        """Give it back. May be called twice."""
        self._return()

    @property
    def pointer(self) -> int:
        """Address of the first element; 0 when there are no elements."""
        return self._tensor.data + self._tensor.byte_offset if self._tensor.data else 0

    @property
    def shape(self) -> tuple[int, ...]:
        """Elements along each axis."""
        return tuple(self._tensor.shape[: self._tensor.ndim])

    @property
    def strides(self) -> tuple[int, ...]:
        """Bytes from one element to the next along each axis."""
        size = self.dtype.itemsize
        if not self._tensor.strides:
            return contiguous_strides(self.shape, size)
        return tuple(size * step for step in self._tensor.strides[: self._tensor.ndim])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of an element. Raises ``ConfigError`` for one that numpy does not know."""
        code, bits, lanes = self._tensor.code, self._tensor.bits, self._tensor.lanes
        if code not in _KINDS or bits % 8 or lanes != 1:
            raise ConfigError(
                f"GPU array of DLPack type code {code}, {bits} bits, {lanes} lanes: numpy has none such"
            )
        return np.dtype("bool" if code == 6 else f"{_KINDS[code]}{bits // 8}")


def take(capsule: Any) -> Tensor:
    """The tensor in a capsule, which is marked as emptied: from now on we give the tensor back, not the capsule.

    Raises:
        ConfigError: when there is none in it, or no longer.
    """
    python = ctypes.pythonapi
    python.PyCapsule_GetPointer.restype = ctypes.c_void_p
    held = ctypes.py_object(capsule)
    if not python.PyCapsule_IsValid(held, _FRESH):
        raise ConfigError(
            f"{capsule!r} holds no DLPack tensor: it was taken already, or is of a newer DLPack"
        )
    tensor = Tensor(python.PyCapsule_GetPointer(held, _FRESH))
    python.PyCapsule_SetName(held, _TAKEN)
    return tensor


def give(
    pointer: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    dtype: np.dtype[Any],
    device: int,
    release: Callable[[], None],
) -> Any:
    """A capsule that lends device memory to another library; one capsule is taken once.

    Args:
        pointer: address of the first element.
        shape: elements along each axis.
        strides: bytes from one element to the next along each axis, multiples of an element.
        dtype: of an element, an integer or float that DLPack knows.
        device: number of the GPU.
        release: called once when the borrower is done, or the capsule is dropped; on any thread.
    """
    axes = ctypes.c_int64 * len(shape)
    code = {letter: number for number, letter in _KINDS.items()}[dtype.kind]
    extents, steps = axes(*shape), axes(*(step // dtype.itemsize for step in strides))
    tensor = _DLTensor(pointer, CUDA, device, len(shape), code, 8 * dtype.itemsize, 1, extents, steps, 0)
    managed = _DLManagedTensor(tensor, None, _give_back)
    address = ctypes.addressof(managed)
    python = ctypes.pythonapi
    python.PyCapsule_New.restype = ctypes.py_object
    python.PyCapsule_New.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
    _lent[address] = (managed, release)
    return python.PyCapsule_New(address, _FRESH, ctypes.cast(_drop, ctypes.c_void_p))


def contiguous_strides(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Strides in bytes of a C-contiguous array."""
    strides = []
    for size in reversed(shape):
        strides.append(itemsize)
        itemsize *= size
    return tuple(reversed(strides))


def _delete(address: int) -> None:
    managed = _DLManagedTensor.from_address(address)
    if managed.deleter:
        managed.deleter(address)


# What was given and has not come back, by address: the structure, which must stay where it is, and what to call.
_lent: dict[int, tuple[_DLManagedTensor, Callable[[], None]]] = {}


@_Deleter  # type: ignore[untyped-decorator]  # ctypes has no types for it
def _give_back(address: int) -> None:
    """The deleter of what we give; the borrower calls it, with or without Python's lock."""
    _managed, release = _lent.pop(address)
    release()


@ctypes.PYFUNCTYPE(None, ctypes.c_void_p)  # type: ignore[untyped-decorator]
def _drop(capsule: int) -> None:
    """The destructor of our capsules. The capsule is half gone: it must not become a Python object again."""
    python = ctypes.pythonapi
    held = ctypes.c_void_p(capsule)
    python.PyCapsule_GetPointer.restype = ctypes.c_void_p
    if python.PyCapsule_IsValid(held, _FRESH):  # nobody took it
        _give_back(python.PyCapsule_GetPointer(held, _FRESH))
