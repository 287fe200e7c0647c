"""Kernel images that a driver does not take."""

from __future__ import annotations

from malle_rt.cuda.driver import DeviceInfo
from malle_rt.cuda.libcuda import dotted, error_name, failure
from malle_rt.errors import BackendError, BackendUnavailable

__all__ = ["image_failure"]

_NO_BINARY_FOR_GPU = 209
_UNSUPPORTED_PTX_VERSION = 222


def image_failure(call: str, code: int, device: DeviceInfo) -> BackendError:
    """The exception for a cubin or PTX that the driver refuses.

    Args:
        call: name of the driver's function.
        code: the CUresult.
        device: that should have taken it.
    """
    if code == _NO_BINARY_FOR_GPU:
        return BackendUnavailable(
            f"the kernels were not compiled for {device.name}, {device.sm} ({error_name(code)}): "
            "update malle-rt, or use another backend"
        )
    if code == _UNSUPPORTED_PTX_VERSION:
        return BackendUnavailable(
            f"the kernels' PTX is newer than the NVIDIA driver, which supports CUDA {dotted(device.driver)} "
            f"({error_name(code)}): update the driver"
        )
    return failure(call, code)
