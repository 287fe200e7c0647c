"""One stream of frames to everybody who wants it: viewers, recordings, outputs."""

from __future__ import annotations

import threading
import time

from malle_rt.frame import Frame, Packet
from malle_rt.live.frame import Latest, LiveFrame
from malle_rt.live.outlets.outlet import Outlet
from malle_rt.live.statistics import Meter

__all__ = ["FanOut"]

_ENDING = 1.0  # seconds all outlets together may take to end


class FanOut:
    """The sink of a live pipeline. Writing takes no time: outlets work in threads of their own.

    Args:
        latest: where viewers look.
        meter: what counts.
        max_latency: seconds; viewers are not shown what is older. None: no bound.
        measures: whether a frame's way ends here, for want of a viewer that tells when it has displayed it.
    """

    def __init__(self, latest: Latest, meter: Meter, *, max_latency: float | None, measures: bool) -> None:
        self._latest = latest
        self._meter = meter
        self._max_latency = max_latency
        self._measures = measures
        self._lock = threading.Lock()
        self._outlets: list[Outlet] = []

    @property
    def outlets(self) -> tuple[Outlet, ...]:
        """Who is served now."""
        with self._lock:
            return tuple(self._outlets)

    def add(self, outlet: Outlet) -> None:
        """Serve one more from the next frame on."""
        with self._lock:
            self._outlets.append(outlet)

    def remove(self, outlet: Outlet) -> None:
        """Serve it no more; ending it is the caller's business. Unknown ones are ignored."""
        with self._lock:
            if outlet in self._outlets:
                self._outlets.remove(outlet)

    def write(self, item: Frame | Packet) -> None:
        """Hand on a frame or a packet of sound."""
        for outlet in self.outlets:
            outlet.put(item)
        if isinstance(item, LiveFrame):
            age = time.monotonic() - item.captured
            late = self._max_latency is not None and age > self._max_latency
            self._meter.add_out(item, late=late)
            if self._measures:
                self._meter.add_age(age)
            if not late:
                self._latest.put(item)

    def finish(self) -> None:
        """End all outlets; one that does not come back in time is left behind. May be called twice."""
        outlets = self.outlets
        for outlet in outlets:
            outlet.end()
        deadline = time.monotonic() + _ENDING
        for outlet in outlets:
            outlet.close(max(0.0, deadline - time.monotonic()))

    def abort(self) -> None:
        """The same: what live video left behind is worth keeping even after a failure."""
        self.finish()
