"""What an adapter has made and must give back, in the order in which CUDA wants it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from enum import IntEnum

from malle_rt.errors import KernelError

__all__ = ["Kind", "Ledger", "Owned"]

log = logging.getLogger(__name__)


class Kind(IntEnum):
    """Kinds of things; lower ones are given back first, since they use the higher ones."""

    GRAPH = 0
    BUFFER = 1
    PINNED = 2
    MODULE = 3
    EVENT = 4
    STREAM = 5
    CONTEXT = 6


class Ledger:
    """The things that are still held; safe to use from several threads."""

    def __init__(self) -> None:
        self._held: dict[Owned, Kind] = {}
        self._lock = threading.Lock()

    def enter(self, thing: Owned, kind: Kind) -> None:
        """Note that something was made."""
        with self._lock:
            self._held[thing] = kind

    def strike(self, thing: Owned) -> bool:
        """Note that it is given back now; False when it was already."""
        with self._lock:
            return self._held.pop(thing, None) is not None

    def close(self) -> None:
        """Let all work end, then give everything back.

        What cannot be is logged, once: after a failed kernel CUDA refuses every call, and that first failure is the
        one to hear about.
        """
        with self._lock:
            held = sorted(self._held, key=lambda thing: self._held[thing])
        steps = [thing.settle for thing in held] + [thing.close for thing in held]
        failures = [str(exc) for step in steps if (exc := _failure_of(step))]
        if failures:
            log.warning("closing the CUDA driver: %s (%d failures in all)", failures[0], len(failures))


class Owned:
    """Something that is given back once: by ``close``, or when its driver closes."""

    def __init__(self, ledger: Ledger, kind: Kind, release: Callable[[], None]) -> None:
        self._ledger = ledger
        self._release = release
        ledger.enter(self, kind)

    def settle(self) -> None:
        """Wait until nothing uses it any more; called before its driver closes."""

    def close(self) -> None:
        """Give it back. May be called twice."""
        if self._ledger.strike(self):
            self._release()


def _failure_of(step: Callable[[], None]) -> KernelError | None:
    try:
        step()
    except KernelError as exc:
        return exc
    return None
