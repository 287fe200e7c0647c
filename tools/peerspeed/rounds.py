"""Timing in turns: every network in every round, so that a busy moment of the machine hits none of them alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median

__all__ = ["interleaved", "spread", "times_as_fast"]

LEAST = 0.5  # seconds of a network's turn; at least one call


def interleaved(calls: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of a call by name, a value for each round; a first round that warms up is not counted."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            value = _turn(call)
            if number:
                found[name].append(value)
    return found


def _turn(call: Callable[[], object]) -> float:
    times: list[float] = []
    while not times or sum(times) < LEAST:
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return median(times) * 1e3


def spread(values: list[float]) -> dict[str, float]:
    """Median, lowest and highest, rounded to what a clock tells."""
    return {
        "median": round(median(values), 3),
        "low": round(min(values), 3),
        "high": round(max(values), 3),
    }


def times_as_fast(values: list[float], yardstick: list[float]) -> dict[str, float]:
    """How many times as fast as the yardstick; compared round by round, since a round shares the machine's mood."""
    return spread([theirs / ours for ours, theirs in zip(values, yardstick, strict=True)])
