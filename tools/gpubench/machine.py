"""The machine that stands beside every figure."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from malle_rt.cuda.driver import Driver

__all__ = ["describe"]

_PACKAGES = ("torch", "cuda-bindings", "pycuda", "tensorrt", "tensorrt-rtx-cu13", "numpy", "av")
_QUERY = "driver_version,power.limit,clocks.max.sm,clocks.max.memory,clocks.current.sm,temperature.gpu"


def describe(driver: Driver) -> dict[str, Any]:
    """GPU, driver, versions; nothing that tells whose machine it is."""
    device = driver.device
    return {
        "gpu": device.name,
        "architecture": device.sm,
        "memory_mib": device.memory // 2**20,
        "cuda_of_the_driver": f"{device.driver // 1000}.{device.driver % 1000 // 10}",
        "nvidia_smi": _nvidia_smi(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
    }


def _nvidia_smi() -> dict[str, str]:
    command = ["nvidia-smi", f"--query-gpu={_QUERY}", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as exc:
        return {"error": str(exc)}
    values = [value.strip() for value in done.stdout.splitlines()[0].split(",")] if done.stdout else []
    return dict(zip(_QUERY.split(","), values, strict=False))


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
