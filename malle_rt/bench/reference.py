"""A fixed task that no version of malle-rt changes: when it gets slower, it is the machine that did."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from malle_rt.backends.base import usable_cpus

__all__ = ["ReferenceTask"]

_COMPUTED = 2**16  # float32 values of a thread's arithmetic: within its caches
_COPIED = 16 * 2**20  # bytes of a thread's copy: beyond them
_TIMES = 24  # the arithmetic, for each copy: both take about as long
_SECONDS = 0.15


class ReferenceTask:
    """Arithmetic within the caches and a copy beyond them, on all threads at once.

    It runs in the benchmark's own process, between the workers, whose memory and threads it leaves alone.
    """

    def __init__(self) -> None:
        random = np.random.default_rng(0)
        self._threads = usable_cpus()
        self._values = [random.random(_COMPUTED, np.float32) for _ in range(self._threads)]
        self._blocks = [
            (np.ones(_COPIED, np.uint8), np.ones(_COPIED, np.uint8)) for _ in range(self._threads)
        ]

    def rate(self) -> float:
        """Rounds per second, over a tenth of a second or a little more: what the machine gives just now."""
        with ThreadPoolExecutor(self._threads) as pool:
            self._round(pool)
            rounds, begin = 0, time.perf_counter()
            while (taken := time.perf_counter() - begin) < _SECONDS:
                self._round(pool)
                rounds += 1
        return rounds / taken

    def _round(self, pool: ThreadPoolExecutor) -> None:
        for done in [pool.submit(self._work, thread) for thread in range(self._threads)]:
            done.result()

    def _work(self, thread: int) -> None:
        values, (source, target) = self._values[thread], self._blocks[thread]
        for _ in range(_TIMES):
            np.exp(values)
        np.copyto(target, source)
