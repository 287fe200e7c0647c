"""Build the source distribution and the wheel that people install, and try the wheel where there is no compiler.

    python tools/build_wheels.py DIST            # needs the extra "release", and a C++ compiler
    python tools/build_wheels.py DIST --try      # also installs it under every Python that is here, without one

The wheel is ``py3-none-manylinux_2_N``: it holds the fused operator, a library that uses no symbol of Python's. The
libraries of OpenVINO and TBB that it is linked to are not copied into it: they come with the one OpenVINO version that
it requires, and must be the very same as the runtime's. The wheel is built from the source distribution, so that one
builds, too.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from check_pythons import VERSIONS, interpreter

ROOT = Path(__file__).resolve().parent.parent
FROM_OPENVINO = ("libopenvino.so.*", "libopenvino_onnx_frontend.so.*", "libtbb.so.*")
COMPILERS = ("c++", "g++", "gcc", "cc", "clang", "clang++")
FUSED = """
import sys
from malle_rt.backends.openvino import OpenVinoBackend
info = OpenVinoBackend("rt-s").info
sys.exit("; ".join(info.notes) or 0)
"""


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dist", type=Path, help="folder to write to")
    parser.add_argument("--try", dest="try_it", action="store_true", help="install and run it, too")
    options = parser.parse_args()
    missing = [name for name in ("build", "auditwheel") if not _has(name)]
    if missing:
        print(
            f"build_wheels.py: needs {' and '.join(missing)}: pip install 'malle-rt[release]'",
            file=sys.stderr,
        )
        return 2
    wheel = built(options.dist.absolute())
    print(wheel)
    return failures(wheel) if options.try_it else 0


def _has(module: str) -> bool:
    return subprocess.run([sys.executable, "-c", f"import {module}"], capture_output=True).returncode == 0


def built(dist: Path) -> Path:
    """The wheel, in ``dist`` beside the source distribution.

    Raises:
        subprocess.CalledProcessError: one of the steps failed; its output has been shown.
    """
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "build", "--outdir", folder, str(ROOT)], check=True)
        dist.mkdir(parents=True, exist_ok=True)
        for source in Path(folder).glob("*.tar.gz"):
            shutil.copy(source, dist)
        (plain,) = Path(folder).glob("*.whl")
        left_out = [word for name in FROM_OPENVINO for word in ("--exclude", name)]
        repair = [sys.executable, "-m", "auditwheel", "repair", *left_out, "-w", str(dist), str(plain)]
        subprocess.run(repair, check=True)
        subprocess.run([sys.executable, "-m", "auditwheel", "show", *dist.glob("*.whl")], check=True)
    (wheel,) = dist.glob("*.whl")
    return wheel


def failures(wheel: Path) -> int:
    """How many of the Pythons here cannot install it, or run without the fused operator."""
    failed = 0
    for version in VERSIONS:
        python = interpreter(version)
        if python is None:
            print(f"Python {version}: not on this machine, not tried")
            continue
        with tempfile.TemporaryDirectory() as folder:
            problem = trial(wheel, python, Path(folder))
        failed += problem is not None
        print(f"Python {version}, no compiler: {problem or 'installed, the fused operator runs'}", flush=True)
    return failed


def trial(wheel: Path, python: Path, folder: Path) -> str | None:
    """Install it into a fresh environment where no compiler is on the path, and run it; what went wrong, one line."""
    names = folder / "names"
    names.mkdir()
    for name in ("sh", "uname", "ldconfig"):  # what installers may ask for; a compiler is not among them
        if found := shutil.which(name):
            (names / name).symlink_to(found)
    environment = {**os.environ, "PATH": str(names)}
    if any(shutil.which(name, path=str(names)) for name in COMPILERS):
        return "a compiler is on the path"
    venv = folder / "venv"
    for command in (
        [str(python), "-m", "venv", str(venv)],
        [str(venv / "bin/pip"), "install", "-q", str(wheel)],
        [str(venv / "bin/python"), "-c", FUSED],
    ):
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            return lines[-1] if lines else f"exit code {done.returncode}"
    return None


if __name__ == "__main__":
    sys.exit(main())
