"""Waiting for the GPU without a busy loop, and not for ever."""

from __future__ import annotations

import time
from collections.abc import Callable

from malle_rt.errors import KernelError

__all__ = ["wait_until"]

# Work that is nearly done is seen at once, long work costs next to no processor time.
_SHORTEST = 20e-6  # seconds
_LONGEST = 200e-6


def wait_until(done: Callable[[], bool], what: str, seconds: float) -> None:
    """Ask again and again, with growing pauses.

    Args:
        done: whether the wait is over.
        what: is waited for, for the message.
        seconds: to wait at most.

    Raises:
        KernelError: when it takes longer.
    """
    end = time.monotonic() + seconds
    pause = _SHORTEST
    while not done():
        if time.monotonic() > end:
            raise KernelError(
                f"waited {seconds:g} s for {what}, and the GPU is not done: it hangs, or others keep it busy"
            )
        time.sleep(pause)
        pause = min(1.5 * pause, _LONGEST)
