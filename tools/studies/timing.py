"""Networks timed beside each other."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

__all__ = ["CALLS", "fastest"]

ROUNDS, CALLS_IN_A_ROW = 8, 5
CALLS = ROUNDS * CALLS_IN_A_ROW
"""How many calls of each network count."""


def fastest(calls: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Milliseconds of the fastest call of each, by name.

    All take turns, so that a change of the machine's speed meets them alike; of what else runs, the fastest call has
    the least in it.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            times[name] += [_timed(call) for _ in range(CALLS_IN_A_ROW)]
    return {name: round(min(each) * 1e3, 3) for name, each in times.items()}


def _timed(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun
