"""What the measurements were made on: a number without its machine is not worth quoting."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import malle_rt
from yardstick.peers import FFMPEG

__all__ = ["cpu_name", "describe_machine"]

PACKAGES = ("openvino", "av", "opencv-python", "numpy")


def describe_machine() -> dict[str, str]:
    """CPU, threads, load and versions."""
    versions = {name: _version(name) for name in PACKAGES}
    return {
        "cpu": cpu_name(),
        "threads": str(len(os.sched_getaffinity(0))),
        "load average": " ".join(f"{load:.1f}" for load in os.getloadavg()),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "malle-rt": malle_rt.__version__,
        "ffmpeg": _ffmpeg(),
        **versions,
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def cpu_name() -> str:
    """Model name of the CPU."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _ffmpeg() -> str:
    done = subprocess.run([FFMPEG[0], "-version"], capture_output=True, text=True, check=True)
    return done.stdout.split()[2]
