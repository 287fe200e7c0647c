"""The CUDA kernels on the host: the same sources, compiled by g++, on memory of numpy arrays."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest

from malle_rt.cuda.launches import Launch

CSRC = Path(__file__).resolve().parents[2] / "malle_rt/ops/csrc"
SHIM = Path(__file__).resolve().parents[1] / "cuda_host"
_FLAGS = ("-std=c++17", "-O2", "-march=native", "-fPIC", "-fvisibility=hidden", "-fno-strict-aliasing")
_WARNINGS = ("-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas")
# Types promise their alignment to the compiler: it checks each address, and the shim refuses the launch.
_CHECKS = ("-fsanitize=alignment", "-fno-sanitize-recover=alignment")


# Everything that sanitizers of the processor see; the process that loads it must have been started for them.
_SANITIZED = ("-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-g1")


@functools.cache
def build(*, sanitized: bool = False) -> Path:
    """The shared library, compiled once for each state of the sources; skips the test where there is no g++.

    Args:
        sanitized: with AddressSanitizer and UndefinedBehaviorSanitizer.
    """
    checks = _SANITIZED if sanitized else _CHECKS
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("no g++ here to compile the CUDA kernels for the host")
    sources = sorted([*CSRC.glob("*.cu"), *CSRC.glob("*.cuh"), *SHIM.iterdir()])
    state = hashlib.sha256(repr((_FLAGS, _WARNINGS, checks)).encode())
    for path in sources:
        state.update(path.read_bytes())
    cache = Path(tempfile.gettempdir()) / f"malle-cuda-host-{os.getuid()}"
    cache.mkdir(mode=0o700, exist_ok=True)
    library = cache / f"{state.hexdigest()[:16]}.so"
    if not library.exists():
        with tempfile.TemporaryDirectory(dir=cache) as work:
            _compile(compiler, Path(work), checks).replace(library)
    return library


def _compile(compiler: str, work: Path, checks: tuple[str, ...]) -> Path:
    made, library = work / "cuda_host.o", work / "cuda_host.so"
    include = (f"-I{SHIM}", f"-I{CSRC}")
    compiling = (*_FLAGS, *_WARNINGS, *checks, *include, "-c", "-o", made, SHIM / "cuda_host.cpp")
    # Of alignment linked apart from the checks, or their own library would answer instead of the shim.
    linked = checks if checks == _SANITIZED else ()
    for arguments in (compiling, ("-shared", *linked, "-o", library, made)):
        done = subprocess.run([compiler, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[:2000]
    return library


@functools.cache
def _library() -> ctypes.CDLL:
    return ctypes.CDLL(str(build()))


def parameter_sizes(name: str) -> list[int] | None:
    """Bytes of each of a kernel's parameters; None when there is no such kernel."""
    sizes = (ctypes.c_uint * 64)()
    count = _library().malle_host_params(name.encode(), sizes, len(sizes))
    return None if count < 0 else list(sizes[:count])


def start(launch: Launch) -> None:
    """Run it, with addresses of host memory among its arguments."""
    assert parameter_sizes(launch.name) == [ctypes.sizeof(each) for each in launch.arguments], launch
    numbers = ctypes.c_uint * 3
    pointers = (ctypes.c_void_p * len(launch.arguments))(*map(ctypes.addressof, launch.arguments))
    failed = _library().malle_host_launch(
        launch.name.encode(), numbers(*launch.grid), numbers(*launch.block), pointers
    )
    assert not failed, f"{launch.name} failed with {failed}, see cuda_host.cpp"


class Guarded:
    """An array between guard bytes.

    Args:
        content: copied; give ``np.full`` of something for an output.
        offset: items by which it begins past a multiple of 256 bytes.

    Attributes:
        array: the array.
    """

    _GUARD = 512
    _MARK = 0xA5

    def __init__(self, content: np.ndarray, *, offset: int = 0) -> None:
        before = self._GUARD + offset * content.itemsize
        self._memory = np.full(before + content.nbytes + 2 * self._GUARD, self._MARK, np.uint8)
        self._first = before + -self._memory.ctypes.data % 256
        self._last = self._first + content.nbytes
        self.array = self._memory[self._first : self._last].view(content.dtype).reshape(content.shape)
        self.array[...] = content

    @property
    def pointer(self) -> int:
        """Its address."""
        return self.array.ctypes.data

    def check(self) -> None:
        """Assert that nothing around it was written."""
        for guard in (self._memory[: self._first], self._memory[self._last :]):
            assert (guard == self._MARK).all()
