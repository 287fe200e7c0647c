"""The compiled library as functions of tensors, with the signatures of the operator ``malle::slice``."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from malle_rt.ops.reference import gradient_in_torch, slice_in_torch

__all__ = ["SliceLibrary"]


class _Dims(ctypes.Structure):
    """``malle::SliceDims``."""

    _fields_ = (
        ("batch", ctypes.c_size_t),
        ("channels", ctypes.c_size_t),
        ("groups", ctypes.c_size_t),
        ("grid_height", ctypes.c_size_t),
        ("grid_width", ctypes.c_size_t),
        ("stride", ctypes.c_size_t),
        ("kernel_size", ctypes.c_size_t),
        ("channels_last", ctypes.c_bool),
    )

    @classmethod
    def of(cls, x: Tensor, grid: Tensor, kernel_size: int) -> _Dims:
        batch, channels, height, _ = x.shape
        values, rows, columns = grid.shape[1:]
        return cls(
            batch, channels, values // (kernel_size**2 + 1), rows, columns, height // rows, kernel_size
        )


class SliceLibrary:
    """The slice and its gradient on the CPU, on as many threads as torch uses.

    Sums are made in float32, whatever the tensors' dtype; float64 and tensors without elements go to the reference.
    Like it, both return dense tensors in the dtype of ``x`` and ``grid``, whatever the memory order of theirs.

    Args:
        path: of a library that ``build`` made.

    Raises:
        OSError: it does not load.
    """

    def __init__(self, path: Path) -> None:
        library = ctypes.CDLL(str(path))
        self._slice = library.malle_train_slice
        self._x_gradient = library.malle_train_x_gradient
        self._grid_gradient = library.malle_train_grid_gradient
        for function in (self._slice, self._x_gradient, self._grid_gradient):
            function.argtypes = [ctypes.c_void_p] * 3 + [ctypes.POINTER(_Dims), ctypes.c_size_t]
            function.restype = None
        self._find_motion = library.malle_train_find_motion
        self._find_motion.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_size_t] * 4
        self._find_motion.restype = None

    def find_motion(self, now: Tensor, before: Tensor) -> Tensor:
        """``malle_rt.ops.motion.find_motion``."""
        count, _, height, width = now.shape
        found = now.new_empty((count, height // 8, width // 8, 2), dtype=torch.int16)
        pointers = (each.data_ptr() for each in (now.contiguous(), before.contiguous(), found))
        self._find_motion(*pointers, count, height, width, torch.get_num_threads())
        return found.permute(0, 3, 1, 2)

    def slice(self, x: Tensor, grid: Tensor, kernel_size: int) -> Tensor:
        """``malle::slice``."""
        if not _fits(x):
            return slice_in_torch(x, grid, kernel_size)
        y = x.new_empty(x.shape, dtype=torch.float32)
        _call(self._slice, _dense(x), _dense(grid), y, _Dims.of(x, grid, kernel_size))
        return y.to(x.dtype)

    def gradient(
        self, grad: Tensor, x: Tensor, grid: Tensor, kernel_size: int, need_x: bool
    ) -> tuple[Tensor, Tensor]:
        """``malle::slice_backward``: with respect to x, empty unless ``need_x``, and to the grid."""
        if not _fits(x):
            return gradient_in_torch(grad, x, grid, kernel_size, need_x)
        dims, dense = _Dims.of(x, grid, kernel_size), _dense(grad)
        grad_grid = x.new_empty(grid.shape, dtype=torch.float32)
        _call(self._grid_gradient, dense, _dense(x), grad_grid, dims)
        if not need_x:
            return x.new_empty(0), grad_grid.to(grid.dtype)
        grad_x = x.new_empty(x.shape, dtype=torch.float32)
        _call(self._x_gradient, dense, _dense(grid), grad_x, dims)
        return grad_x.to(x.dtype), grad_grid.to(grid.dtype)


def _fits(x: Tensor) -> bool:
    return x.dtype != torch.float64 and x.numel() > 0


def _dense(values: Tensor) -> Tensor:
    """As float32 in C order; the tensor itself where it is that already."""
    return values.to(torch.float32, memory_format=torch.contiguous_format).contiguous()


def _call(function: Callable[..., None], first: Tensor, second: Tensor, out: Tensor, dims: _Dims) -> None:
    pointers = (tensor.data_ptr() for tensor in (first, second, out))
    function(*pointers, ctypes.byref(dims), torch.get_num_threads())
