"""Waiting for the GPU: busily while it is nearly done, then with pauses, and not for ever."""

from __future__ import annotations

import time
from collections.abc import Callable

from malle_rt.errors import KernelError

__all__ = ["wait_until"]

# Work that is nearly done is seen at once, long work costs next to no processor time: a pause of the shortest kind
# takes the system 70 us and more.
_BUSY = 100e-6  # seconds
_SHORTEST = 20e-6  # seconds
_LONGEST = 200e-6


def wait_until(done: Callable[[], bool], what: str, seconds: float) -> None:
    """Ask again and again, at first without a pause, then with growing ones.

    Args:
        done: whether the wait is over.
        what: is waited for, for the message.
        seconds: to wait at most.

    Raises:
        KernelError: when it takes longer.
    """
    start = time.monotonic()
    pause = _SHORTEST
    while not done():
        waited = time.monotonic() - start
        if waited > seconds:
            raise KernelError(
                f"waited {seconds:g} s for {what}, and the GPU is not done: it hangs, or others keep it busy"
            )
        if waited < _BUSY:
            continue
        time.sleep(pause)
        pause = min(1.5 * pause, _LONGEST)
