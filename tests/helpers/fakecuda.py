"""The host implementation of the CUDA driver in tests/fakecuda: built, loaded, and controlled.

It stands in for ``libcuda.so.1`` in this process, once and for all; between tests it has no device, so nothing else
takes it for a GPU. Import this module before anything that loads the driver.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

__all__ = ["IMAGE", "FakeCuda", "arithmetic_kernels", "build_library", "fake_cuda"]

SOURCES = Path(__file__).parents[1] / "fakecuda"
COMPILE = ("g++", "-std=c++17", "-O2", "-Wall", "-shared", "-fPIC", "-fvisibility=hidden")
KINDS = ("contexts", "device blocks", "pinned blocks", "streams", "events", "modules", "graphs", "pending")

# Enough of a PTX file: the code itself comes from the library of kernels.
IMAGE = b".version 7.0\n.target sm_75\n.address_size 64\n"


class FakeCuda:
    """The controls of the driver; what they do is written in tests/fakecuda/control.cpp."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        library.fakecuda_live.restype = ctypes.c_longlong
        library.fakecuda_calls.restype = ctypes.c_longlong
        library.fakecuda_problems.restype = ctypes.c_char_p

    def set(self, **knobs: int) -> None:
        """seed, devices, driver (13000 is 13.0), capability (89 is 8.9), memory (bytes of the device)."""
        for name, value in knobs.items():
            self._ok(self.library.fakecuda_set(name.encode(), ctypes.c_longlong(value)), name)

    def use_kernels(self, library: Path) -> None:
        """Take kernels from a library with the exports malle_host_params and malle_host_launch."""
        self._ok(self.library.fakecuda_kernels(str(library).encode()), str(library))

    def fail(self, call: str, code: int, *, nth: int = 1) -> None:
        """Let the nth call from now of an entry point (no _v2), or "execution" of any work, fail."""
        self.library.fakecuda_fail(call.encode(), ctypes.c_longlong(nth), code)

    def live(self) -> dict[str, int]:
        """What was made and not given back, by kind; kinds without any are left out."""
        counts = {kind: int(self.library.fakecuda_live(kind.encode())) for kind in KINDS}
        return {kind: count for kind, count in counts.items() if count}

    def calls(self, name: str) -> int:
        """How often an entry point was called; "pageable copy" counts copies of memory that is not page-locked."""
        return int(self.library.fakecuda_calls(name.encode()))

    def problems(self) -> list[str]:
        """What no error code reports: writes outside of blocks and into freed ones."""
        return self.library.fakecuda_problems().decode().splitlines()

    def reset(self) -> None:
        """Forget everything, free all memory; no device is left."""
        self.library.fakecuda_reset()

    @staticmethod
    def _ok(code: int, what: str) -> None:
        assert code == 0, f"fakecuda refuses {what}: error {code}"


@contextmanager
def fake_cuda(kernels: Path | None = None, *, check: bool = True, **knobs: int) -> Iterator[FakeCuda]:
    """A CUDA driver with one device; skips the test where there cannot be one.

    Args:
        kernels: library of kernels.
        check: fail at the end when something was not given back or memory was damaged.
        knobs: as ``FakeCuda.set`` takes them.
    """
    fake = _load()
    fake.reset()
    fake.set(**{"devices": 1, **knobs})
    if kernels is not None:
        fake.use_kernels(kernels)
    try:
        yield fake
        if check:
            assert fake.live() == {}, "not given back"
            assert fake.problems() == []
    finally:
        fake.reset()


def arithmetic_kernels() -> Path:
    """The library of kernels/arithmetic.cpp: add(data, value, count), average(out, a, b, count), broken()."""
    return build_library([SOURCES / "kernels" / "arithmetic.cpp"], "libarithmetic.so")


def build_library(sources: Sequence[Path], name: str, *flags: str) -> Path:
    """Compile C++ to a shared library, kept in the temporary folder until its sources change.

    Args:
        sources: files to compile; headers beside them count as sources, too.
        name: of the library.
        flags: more of them for g++.
    """
    if shutil.which("g++") is None:
        pytest.skip("no g++ to build the host implementation of CUDA with")
    text = b"".join(path.read_bytes() for path in [*sources, *sorted(sources[0].parent.glob("*.h*"))])
    command = [*COMPILE, *flags]
    key = hashlib.sha256(text + " ".join([*command, name]).encode()).hexdigest()[:16]
    library = Path(tempfile.gettempdir()) / f"malle-rt-tests-{os.getuid()}" / key / name
    if not library.exists():
        library.parent.mkdir(parents=True, exist_ok=True)
        partial = library.with_suffix(f".{os.getpid()}")
        command += [*map(str, sources), "-o", str(partial), "-ldl", "-pthread"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        partial.replace(library)
    return library


@cache
def _load() -> FakeCuda:
    """Put our libcuda.so.1 in the process; who asks the loader for that name then finds it there."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        pass
    else:
        pytest.skip("this machine has an NVIDIA driver: it is tested instead of its host implementation")
    library = build_library(sorted(SOURCES.glob("*.cpp")), "libcuda.so.1", "-Wl,-soname,libcuda.so.1")
    return FakeCuda(ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL))
