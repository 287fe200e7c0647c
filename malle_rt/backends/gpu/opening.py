"""Opening a session: as large a ring as the device's memory allows, and a plain word when it allows none."""

from __future__ import annotations

import logging
from collections.abc import Callable

from malle_rt.backends.base import FrameShape
from malle_rt.backends.gpu.network import Capture, DeviceNetwork
from malle_rt.backends.gpu.session import SLOTS, GpuSession
from malle_rt.cuda.driver import Driver
from malle_rt.cuda.kernels import Kernels
from malle_rt.errors import BackendError, OutOfDeviceMemory

__all__ = ["FEWEST_SLOTS", "open_session", "precision_for"]

log = logging.getLogger(__name__)

FEWEST_SLOTS = 2
_HALF_BITS = 11  # significant bits of a float16


def precision_for(precision: str, bits: int) -> str:
    """What a depth is computed in where a backend chose ``precision``: float16 cannot hold every code of 12 bits."""
    if precision != "fp16" or bits <= _HALF_BITS:
        return precision
    log.info("%d bits are computed in fp32: fp16 would lose codes", bits)
    return "fp32"


def open_session(
    driver: Driver,
    kernels: Kernels,
    network: Callable[[], DeviceNetwork],
    shape: FrameShape,
    *,
    capture: Capture | None,
    model: str,
) -> GpuSession:
    """A session with ``SLOTS`` frames in flight, or, when memory is short, with ``FEWEST_SLOTS``.

    Args:
        driver: opened on the device.
        kernels: loaded on it.
        network: makes the network for this size; called once for each try.
        shape: of the frames.
        capture: makes CUDA graphs, None for none.
        model: name of the network, for messages.

    Raises:
        BackendError: there is not even memory for the smaller ring.
    """
    driver.make_current()
    try:
        return GpuSession(driver, kernels, network(), shape, slots=SLOTS, capture=capture)
    except OutOfDeviceMemory as exc:
        log.warning("%s: trying again with %d frames in flight instead of %d", exc, FEWEST_SLOTS, SLOTS)
    try:
        return GpuSession(driver, kernels, network(), shape, slots=FEWEST_SLOTS, capture=capture)
    except OutOfDeviceMemory as exc:
        free, total = (round(size / 2**20) for size in (driver.free_memory(), driver.device.memory))
        raise BackendError(
            f"{driver.device.name} has no memory left for {shape.width}x{shape.height} with {model}: "
            f"{free} of {total} MiB are free; close other programs, or take a smaller model or picture"
        ) from exc
