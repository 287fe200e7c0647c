"""The one context of a GPU that we, torch, TensorRT and FFmpeg share."""

from __future__ import annotations

import logging

from malle_rt.cuda.libcuda import error_name, load_library

__all__ = ["share_context"]

log = logging.getLogger(__name__)

_SCHED_BLOCKING_SYNC = 4


def share_context(device: int) -> None:
    """Prepare the primary context for FFmpeg, best before anybody has made it current.

    FFmpeg takes a primary context only with exactly this flag ("Primary context already active with incompatible
    flags"). It means that a thread which waits for the GPU sleeps; ours do so anyway.

    Args:
        device: the driver's number of the GPU.
    """
    code = load_library().cuDevicePrimaryCtxSetFlags_v2(device, _SCHED_BLOCKING_SYNC)
    if code:
        log.info("FFmpeg will not share our CUDA context: cuDevicePrimaryCtxSetFlags: %s", error_name(code))
