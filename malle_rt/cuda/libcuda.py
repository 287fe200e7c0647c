"""The driver library itself, through ``ctypes``: what can be asked before any adapter is there, and error names."""

from __future__ import annotations

import ctypes
import sys
from functools import cache

from malle_rt.errors import BackendUnavailable, KernelError, OutOfDeviceMemory

__all__ = [
    "OLDEST_DRIVER",
    "code_of",
    "device_count",
    "dotted",
    "error_name",
    "error_text",
    "failure",
    "load_library",
    "require_device",
]

OLDEST_DRIVER = 12000

_OUT_OF_MEMORY = 2
_NO_DEVICE = 100
_DRIVER_MISMATCH = 803
_LARGEST_CODE = 999


@cache
def load_library() -> ctypes.CDLL:
    """The library that the NVIDIA driver installs. Raises ``BackendUnavailable``."""
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        return ctypes.CDLL(name)
    except OSError as exc:
        raise BackendUnavailable(
            f"no NVIDIA driver on this machine ({name} not found)",
            hint='Install it, or use backend="openvino"',
        ) from exc


def require_device(index: int) -> None:
    """Start the driver, without a context, and see that it can serve us.

    Args:
        index: the driver's number of the device that is wanted.

    Raises:
        BackendUnavailable: no driver, one that is too old or does not start, no GPU, or none of that number.
    """
    count = device_count()
    if not 0 <= index < count:
        has = "GPU 0 only" if count == 1 else f"GPUs 0 to {count - 1}"
        raise BackendUnavailable(
            f"no GPU {index}: the NVIDIA driver has {has}", hint="Look at nvidia-smi and CUDA_VISIBLE_DEVICES"
        )


def device_count() -> int:
    """How many GPUs the driver shows to this process, at least 1; starts it, without a context.

    Raises:
        BackendUnavailable: no driver, one that is too old or does not start, or no GPU.
    """
    library = load_library()
    _require_version(library)
    _require_start(library.cuInit(0))
    count = ctypes.c_int()
    _require_start(library.cuDeviceGetCount(ctypes.byref(count)))
    if not count.value:
        _require_start(_NO_DEVICE)
    return count.value


def error_name(code: int) -> str:
    """CUDA's name of an error, for example "CUDA_ERROR_OUT_OF_MEMORY"."""
    return _say(load_library().cuGetErrorName, code) or f"CUDA error {code}"


def error_text(code: int) -> str:
    """CUDA's sentence for an error; "" for an unknown one."""
    return _say(load_library().cuGetErrorString, code)


@cache
def code_of(text: str) -> int | None:
    """The error that ``error_text`` describes in these words; None when there is none."""
    return next((code for code in range(1, _LARGEST_CODE + 1) if error_text(code) == text), None)


def failure(call: str, code: int) -> KernelError:
    """The exception for a failed call of the driver.

    Args:
        call: name of the driver's function.
        code: the CUresult.
    """
    kind = OutOfDeviceMemory if code == _OUT_OF_MEMORY else KernelError
    return kind(f"{call}: {error_name(code)} ({error_text(code) or 'no description'})")


def _require_version(library: ctypes.CDLL) -> None:
    version = ctypes.c_int()
    _require_start(library.cuDriverGetVersion(ctypes.byref(version)))
    if version.value < OLDEST_DRIVER:
        raise BackendUnavailable(
            f"the NVIDIA driver supports CUDA {dotted(version.value)}, malle-rt needs {dotted(OLDEST_DRIVER)} "
            "or newer",
            hint="Update the driver",
        )


def _require_start(code: int) -> None:
    if code == _NO_DEVICE:
        raise BackendUnavailable(
            f"the NVIDIA driver finds no GPU ({error_name(code)})",
            hint="Look at nvidia-smi and CUDA_VISIBLE_DEVICES",
        )
    if code == _DRIVER_MISMATCH:
        raise BackendUnavailable(
            f"the NVIDIA kernel module and driver library differ in version ({error_name(code)})",
            hint="Restart the machine after a driver update",
        )
    if code:
        raise BackendUnavailable(f"the NVIDIA driver does not start: {error_name(code)} ({error_text(code)})")


def dotted(version: int) -> str:
    """A CUDA version for people: 12040 is "12.4"."""
    return f"{version // 1000}.{version % 1000 // 10}"


def _say(function: ctypes._NamedFuncPointer, code: int) -> str:
    text = ctypes.c_char_p()
    function(code, ctypes.byref(text))
    return text.value.decode() if text.value else ""
