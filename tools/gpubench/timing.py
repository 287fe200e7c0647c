"""Time on the device, between events, around work that is long enough to be timed."""

from __future__ import annotations

import statistics
from collections.abc import Callable

from malle_rt.cuda.driver import Driver, Stream

__all__ = ["milliseconds"]

ROUNDS = 7


def milliseconds(driver: Driver, stream: Stream, work: Callable[[], None], *, repeats: int) -> float:
    """Median over rounds of the time that one call's work takes on the device.

    Args:
        driver: of the device.
        stream: that ``work`` fills.
        work: puts work into the stream; captured once into a CUDA graph of ``repeats`` calls, so that the host's own
            time for launches does not count, where the driver's adapter has graphs.
        repeats: calls of a round.
    """

    def all_of_it() -> None:
        for _ in range(repeats):
            work()

    work()  # what is loaded at first use must not be loaded in a capture, or be measured
    stream.synchronize()
    graph = None if driver.no_graphs else driver.capture(stream, all_of_it)
    start, end = driver.event(timing=True), driver.event(timing=True)
    times = []
    for _ in range(ROUNDS + 2):
        start.record(stream)
        if graph is None:
            all_of_it()
        else:
            graph.launch(stream)
        end.record(stream)
        end.wait(seconds=60)
        times.append(end.milliseconds_since(start) / repeats)
    for each in (start, end, *([graph] if graph else [])):
        each.close()
    return statistics.median(times[2:])
