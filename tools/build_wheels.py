"""Build the source distribution and the wheel that people install, and try the wheel where there is no compiler.

    python tools/build_wheels.py DIST            # needs the extra "release", and a C++ compiler
    python tools/build_wheels.py DIST --try      # also installs it under every Python that is here, without one, by
                                                 # pip, and by pipx and uv where this Python has them
    python tools/build_wheels.py DIST --aarch64  # also the wheel for 64-bit ARM, by Debian's g++-aarch64-linux-gnu

The wheel is ``py3-none-manylinux_2_N``: it holds the fused operator, a library that uses no symbol of Python's. The
libraries of OpenVINO and TBB that it is linked to are not copied into it: they come with the one OpenVINO version that
it requires, and must be the very same as the runtime's. The wheel is built from the source distribution, so that one
builds, too. What the other compiler makes of the operator's kernel is run by qemu-aarch64, if it is there.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from check_pythons import VERSIONS, interpreter
from install_lines import for_jetson, newest_pip, required

ROOT = Path(__file__).resolve().parent.parent
FROM_OPENVINO = ("libopenvino.so.*", "libopenvino_onnx_frontend.so.*", "libtbb.so.*")
ARM = "aarch64-linux-gnu"
COMPILERS = ("c++", "g++", "gcc", "cc", "clang", "clang++")
# The commands that install a wheel for an interpreter, such that an environment ends up in the folder named.
INSTALLERS: dict[str, Callable[[str, str, str], tuple[list[str], ...]]] = {
    "pip": lambda python, venv, wheel: (
        [python, "-m", "venv", venv],
        [f"{venv}/bin/pip", "install", "-q", wheel],
    ),
    "pipx": lambda python, _, wheel: ([sys.executable, "-m", "pipx", "install", "--python", python, wheel],),
    "uv": lambda python, _, wheel: (
        [sys.executable, "-m", "uv", "tool", "install", "--python", python, wheel],
    ),
}
CLIP = """
import sys
import av
from malle_rt.media.synthetic import SyntheticSource
with av.open(sys.argv[1], "w") as container:
    stream = container.add_stream("ffv1", rate=25)
    stream.width, stream.height, stream.pix_fmt = 160, 96, "gray"
    for frame in SyntheticSource(12, (160, 96), noise_sigma=12):
        container.mux(stream.encode(av.VideoFrame.from_ndarray(frame.planes[0], format="gray")))
    container.mux(stream.encode())
"""


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dist", type=Path, help="folder to write to")
    parser.add_argument("--try", dest="try_it", action="store_true", help="install and run it, too")
    parser.add_argument("--aarch64", action="store_true", help="also build the wheel for 64-bit ARM")
    options = parser.parse_args()
    missing = [name for name in ("build", "auditwheel") if not _has(name)]
    if missing:
        print(
            f"build_wheels.py: needs {' and '.join(missing)}: pip install 'malle-rt[release]'",
            file=sys.stderr,
        )
        return 2
    if options.aarch64 and shutil.which(f"{ARM}-g++") is None:
        print(f"build_wheels.py: needs {ARM}-g++: apt install g++-{ARM}", file=sys.stderr)
        return 2
    wheel = built(options.dist.absolute())
    print(wheel)
    failed = failures(wheel) if options.try_it else 0
    if options.aarch64:
        print(built_for_arm(options.dist.absolute()))
        failed += wrong_in_an_emulator()
    return failed


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
        return repaired(plain, dist)


def repaired(plain: Path, dist: Path) -> Path:
    """The wheel with the tag of the oldest system that it runs on, in ``dist``."""
    before = set(dist.glob("*.whl"))
    left_out = [word for name in FROM_OPENVINO for word in ("--exclude", name)]
    repair = [sys.executable, "-m", "auditwheel", "repair", *left_out, "-w", str(dist), str(plain)]
    subprocess.run(repair, check=True)
    wheels = set(dist.glob("*.whl"))
    wheel = max(wheels - before or wheels, key=lambda path: path.stat().st_mtime)
    subprocess.run([sys.executable, "-m", "auditwheel", "show", str(wheel)], check=True)
    return wheel


def built_for_arm(dist: Path) -> Path:
    """The wheel for aarch64, in ``dist``: compiled here, against OpenVINO's wheel for it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (pin,) = (each for each in required(".") if each.startswith("openvino=="))
        subprocess.run(
            [str(newest_pip(folder)), "download", "-q", "--no-deps", "-d", name, *for_jetson("3.11"), pin],
            check=True,
        )
        with zipfile.ZipFile(next(folder.glob("openvino-*.whl"))) as theirs:
            theirs.extractall(folder / "openvino")
        environment = {
            **os.environ,
            "PYTHONPATH": str(folder / "openvino"),  # only looked at: setup.py takes headers and libraries
            "CC": f"{ARM}-gcc",
            "CXX": f"{ARM}-g++",
            "LDSHARED": f"{ARM}-g++ -shared",
            "LDCXXSHARED": f"{ARM}-g++ -shared",
            "_PYTHON_HOST_PLATFORM": "linux-aarch64",
        }
        build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--skip-dependency-check"]
        subprocess.run([*build, "--outdir", name, str(ROOT)], check=True, env=environment)
        (plain,) = folder.glob("malle_rt-*.whl")
        with zipfile.ZipFile(plain) as ours:
            if "malle_rt/ops/libmalle_openvino.so" not in ours.namelist():
                raise RuntimeError("the wheel for aarch64 has no operator: see what the compiler said")
        return repaired(plain, dist)


def wrong_in_an_emulator() -> int:
    """1 where the kernel, compiled for aarch64, is wrong; 0 where it is right, or cannot be run here, which is said."""
    emulator = next(filter(None, map(shutil.which, ("qemu-aarch64", "qemu-aarch64-static"))), None)
    if emulator is None:
        print("aarch64: not tried, there is no qemu-aarch64 (apt install qemu-user-static)")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        program, kernel = f"{folder}/slice", ROOT / "malle_rt/ops/csrc"
        sources = [str(ROOT / "tools/sanitize_slice.cpp"), str(kernel / "malle_slice.cpp")]
        flags = ["-std=c++17", "-O3", "-ffp-contract=fast", "-static", f"-I{kernel}"]
        subprocess.run([f"{ARM}-g++", *flags, *sources, "-o", program], check=True)
        print("aarch64, emulated: ", end="", flush=True)
        return int(subprocess.run([emulator, program], check=False).returncode != 0)


def failures(wheel: Path) -> int:
    """How many ways to install it, under the Pythons here, fail, or run without the fused operator."""
    failed = 0
    for version in VERSIONS:
        python = interpreter(version)
        if python is None:
            print(f"Python {version}: not on this machine, not tried")
            continue
        for name in INSTALLERS:
            if not _has(name):
                print(f"Python {version}, {name}: {name} is not installed here, not tried")
                continue
            with tempfile.TemporaryDirectory() as folder:
                problem = trial(wheel, python, name, Path(folder))
            failed += problem is not None
            told = problem or "a video is cleaned by the fused operator"
            print(f"Python {version}, {name}, no compiler: {told}", flush=True)
    return failed


def trial(wheel: Path, python: Path, installer: str, folder: Path) -> str | None:
    """Install it where no compiler is on the path, and clean a video; what went wrong, one line."""
    names = folder / "names"
    names.mkdir()
    for name in ("sh", "uname", "ldconfig"):  # what installers may ask for; a compiler is not among them
        if found := shutil.which(name):
            (names / name).symlink_to(found)
    if any(shutil.which(name, path=str(names)) for name in COMPILERS):
        return "a compiler is on the path"
    environment = {**os.environ, "PATH": str(names)}
    environment.pop("PYTHONPATH", None)
    # Where pipx and uv put programs; pip's lie in the environment itself.
    environment |= {"PIPX_HOME": str(folder / "home"), "PIPX_BIN_DIR": str(folder / "home/bin")}
    environment |= {"UV_TOOL_DIR": str(folder / "home/venvs"), "UV_TOOL_BIN_DIR": str(folder / "home/bin")}
    venv = folder / "home/venvs/malle-rt"
    for command in (
        *INSTALLERS[installer](str(python), str(venv), str(wheel)),
        [str(venv / "bin/python"), "-c", CLIP, "noisy.mkv"],
        [str(venv / "bin/malle-rt"), "transcode", "noisy.mkv", "clean.mkv", "--backend", "openvino"],
    ):
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            return lines[-1] if lines else f"exit code {done.returncode}"
    if "12 frames in, 12 out" not in done.stdout:
        return f"not all frames: {done.stdout.splitlines()[0]}"
    return "no fused operator" if "fused" in done.stderr else None


if __name__ == "__main__":
    sys.exit(main())
