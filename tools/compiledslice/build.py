"""Compile the library that ``library.py`` loads. A C++ compiler is all it takes; torch has no part in it."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

__all__ = ["BuildError", "build", "find_compiler"]

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
