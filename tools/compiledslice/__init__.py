"""``malle_slice`` and its gradient compiled for training on a CPU, several times faster than in plain torch.

Built once for a checkout, and put in the place of the reference for as long as a training takes.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

import malle_rt.ops.motion  # noqa: F401  # registers torch.ops.malle.find_motion
from malle_rt.ops.reference import gradient_in_torch, slice_in_torch

__all__ = ["BuildError", "SliceLibrary", "build", "compiled_slice", "fastest_slice", "find_compiler"]

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
KERNEL = ROOT / "malle_rt/ops/csrc"
BUILT = ROOT / "build/compiledslice"

UNITS = (HERE / "kernels.cpp", HERE / "threads.cpp", KERNEL / "motion.cpp")
PARTS = ("malle_slice.cpp", "malle_slice.hpp", "motion.cpp", "motion.hpp")
SOURCES = (*sorted(HERE.glob("*.?pp")), *(KERNEL / name for name in PARTS))
COMPILERS = ("c++", "g++", "clang++")
# As setup.py compiles the kernel; it picks the instruction set at run time, so the machine is not named here.
FLAGS = ("-std=c++17", "-O3", "-ffp-contract=fast", "-fopenmp", "-fvisibility=hidden", "-fPIC", "-shared")


class BuildError(Exception):
    """The library cannot be compiled; the text is one line."""


def find_compiler() -> list[str]:
    """The command of the compiler to use: what CXX names, or the first one on the path.

    Raises:
        BuildError: there is none.
    """
    if named := shlex.split(os.environ.get("CXX", "")):
        return named
    for name in COMPILERS:
        if found := shutil.which(name):
            return [found]
    raise BuildError("no C++ compiler was found: install g++, or name one in CXX")


def build(folder: Path = BUILT) -> Path:
    """The shared library, compiled once for each state of the sources and each compiler: about half a minute.

    Args:
        folder: where it lies; others of earlier sources there are removed.

    Raises:
        BuildError: no compiler, or its first complaint, or the folder cannot be written.
    """
    compiler = find_compiler()
    state = hashlib.sha256(repr((compiler, FLAGS)).encode())
    for path in SOURCES:
        state.update(path.read_bytes())
    library = folder / f"libmalle_train_{state.hexdigest()[:16]}.so"
    if library.is_file():
        return library
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".compiling-") as work:
            fresh = Path(work) / library.name
            _compile(compiler, fresh)
            fresh.replace(library)
        for path in folder.glob("libmalle_train_*.so"):
            if path != library:
                path.unlink(missing_ok=True)
    except OSError as exc:
        raise BuildError(f"cannot write {folder}: {exc.strerror or exc}") from exc
    return library


def _compile(compiler: list[str], library: Path) -> None:
    command = [*compiler, *FLAGS, f"-I{KERNEL}", "-o", str(library), *map(str, UNITS)]
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
    except OSError as exc:
        raise BuildError(f"{compiler[0]} does not start: {exc.strerror or exc}") from exc
    if done.returncode:
        lines = [line for line in done.stdout.splitlines() if "error" in line.lower()]
        reason = lines[0] if lines else done.stdout.strip() or f"exit status {done.returncode}"
        raise BuildError(f"{Path(compiler[0]).name} failed: {reason.splitlines()[0]}")


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
        self._find_motion.argtypes = [ctypes.c_void_p] * 3 + [
            *[ctypes.c_size_t] * 3,
            ctypes.c_bool,
            ctypes.c_size_t,
        ]
        self._find_motion.restype = None

    def find_motion(self, now: Tensor, before: Tensor, whole: bool) -> Tensor:
        """``malle_rt.ops.motion.find_motion``."""
        count, _, height, width = now.shape
        found = now.new_empty((count, height // 8, width // 8, 2), dtype=torch.int16)
        pointers = (each.data_ptr() for each in (now.contiguous(), before.contiguous(), found))
        self._find_motion(*pointers, count, height, width, whole, torch.get_num_threads())
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


@contextmanager
def compiled_slice(library: SliceLibrary) -> Iterator[None]:
    """Within it, ``malle_slice`` and its gradient on the CPU are the library's: in all threads of the process."""
    # A kernel for the CPU goes before the reference, which is registered for every device. torch takes it back when
    # the registration is collected.
    registration = torch.library.Library("malle", "IMPL")
    registration.impl("slice", library.slice, "CPU")
    registration.impl("slice_backward", library.gradient, "CPU")
    registration.impl("find_motion", library.find_motion, "CPU")
    try:
        yield
    finally:
        del registration


@contextmanager
def fastest_slice(device: torch.device, *, compiled: bool = True) -> Iterator[str]:
    """The compiled slice where it can be had, or a line on the standard error that says why not.

    Args:
        device: to train on; only the CPU has a compiled slice.
        compiled: False leaves the reference.

    Yields:
        What runs, for the log: "compiled slice" or "slice in torch".
    """
    library = None
    if compiled and device.type == "cpu":
        try:
            library = SliceLibrary(build())
        except (BuildError, OSError) as exc:
            print(f"the slice runs in plain torch, training is slower: {exc}", file=sys.stderr, flush=True)
    if library is None:
        yield "slice in torch"
        return
    with compiled_slice(library):
        yield "compiled slice"
