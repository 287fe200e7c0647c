"""How far a build is, from the phases that TensorRT tells of."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

__all__ = ["Phases", "progress_monitor"]


def progress_monitor(trt: Any, report: Callable[[float, str], None]) -> Any:
    """What a builder's configuration takes as its progress monitor; see ``Phases`` for the report."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]  # the base is only known at run time
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.phases = Phases(report)

        def phase_start(self, name: str, parent: str | None, steps: int) -> None:
            self.phases.start(name, parent, steps)

        def phase_finish(self, name: str) -> None:
            self.phases.finish(name)

        def step_complete(self, name: str, step: int) -> bool:
            self.phases.step(name, step)
            return True

    return Monitor()


class Phases:
    """TensorRT's phases, each within a step of another one.

    Args:
        report: receives the share done, 0 to 1, which never falls, and the name of the phase at work.
    """

    SECONDS_BETWEEN = 0.1

    def __init__(self, report: Callable[[float, str], None]) -> None:
        self._report = report
        self._open: dict[str, tuple[str | None, int, int]] = {}  # name: parent, steps, steps done
        self._share = 0.0
        self._last = 0.0

    def start(self, name: str, parent: str | None, steps: int) -> None:
        """A phase begins, within the current step of its parent."""
        self._open[name] = (parent, max(steps, 1), 0)
        self._tell(name)

    def step(self, name: str, step: int) -> None:
        """A step of it, counted from 0, is done."""
        if name in self._open:
            parent, steps, _ = self._open[name]
            self._open[name] = (parent, steps, step + 1)
            self._tell(name)

    def finish(self, name: str) -> None:
        """It is over."""
        self._open.pop(name, None)

    def _tell(self, name: str) -> None:
        now = time.monotonic()
        if now - self._last < self.SECONDS_BETWEEN:
            return
        self._last = now
        self._share = max(self._share, self._position(name))
        self._report(self._share, name)

    def _position(self, name: str | None) -> float:
        """Share of the whole that is done when this phase is as far as it is."""
        share = 0.0
        while name is not None and name in self._open:
            parent, steps, done = self._open[name]
            share = min((done + share) / steps, 1.0)
            name = parent
        return share
