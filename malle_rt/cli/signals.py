"""Ctrl-C, SIGTERM and SIGHUP end a job well and soon; a second one ends it at once."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Protocol

__all__ = ["Ending", "heard", "stopped_by_signals", "watched_signals"]

_LONGEST = 1.7  # seconds from the first signal in which a job may end by itself


class Job(Protocol):
    """What can be ended."""

    def stop(self) -> None:
        """Ask it to end well; returns at once."""
        ...

    def leave(self) -> object | None:
        """What stays of it where the process ends at once."""
        ...


def heard() -> list[int]:
    """Signals that end a program, without those that the caller has it ignore (nohup, a shell's background)."""
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    return [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]


class Ending:
    """Ends the process on signals, whatever its main thread waits for.

    Python runs signal handlers in the main thread, between two of its own instructions: not while a library opens
    a stalled stream or compiles a network. So a thread of its own hears of signals through a socket.

    Attributes:
        received: signals so far.
        job: what is running; None while it is still being opened, when there is nothing to end well.
        discard: removes what the process has begun to write.
        kept_nothing: what is said where the process ends and nothing of the job is kept.
    """

    def __init__(self) -> None:
        self.received: list[int] = []
        self.job: Job | None = None
        self.discard: Callable[[], None] = lambda: None
        self.kept_nothing: Callable[[], str] = lambda: "nothing was kept"
        self._hears, self._rings = socket.socketpair()
        self._rings.setblocking(False)
        self._thread = threading.Thread(target=self._watch, name="malle-signals", daemon=True)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Hear signals inside the block. Only in the main thread."""
        wakeup = signal.set_wakeup_fd(self._rings.fileno(), warn_on_full_buffer=False)
        before = {number: signal.signal(number, _nothing) for number in heard()}
        self._thread.start()
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(wakeup)
            self._rings.close()
            self._thread.join()
            self._hears.close()

    def _watch(self) -> None:
        while True:
            try:
                numbers = self._hears.recv(16)
            except TimeoutError:
                self._leave()
            if not numbers:
                return
            for number in numbers:
                self._hear(number)

    def _hear(self, number: int) -> None:
        self.received.append(number)
        if len(self.received) > 1:
            self._end(f"interrupted twice, {self.kept_nothing()}")
        if self.job is None:
            self._end(f"interrupted, {self.kept_nothing()}")
        else:
            self._hears.settimeout(_LONGEST)
            self.job.stop()

    def _leave(self) -> None:
        """The job takes too long to end."""
        kept = self.job.leave() if self.job is not None else None
        if kept is None:
            self._end(f"interrupted, {self.kept_nothing()}")
        _exit(128 + self.received[0], f"interrupted; what was done by then is in {kept}")

    def _end(self, text: str) -> None:
        _exit(128 + self.received[0], text, self.discard)


@contextmanager
def watched_signals() -> Iterator[Ending]:
    """An ``Ending`` for the block; it hears nothing outside the main thread, where Python allows no handlers."""
    ending = Ending()
    if threading.current_thread() is not threading.main_thread():
        yield ending
        return
    with ending.watching():
        yield ending


@contextmanager
def stopped_by_signals(stop: Callable[[], None]) -> Iterator[list[int]]:
    """Call ``stop`` on the first signal, raise KeyboardInterrupt on the second. Yields the signals received.

    Args:
        stop: asks the job to end well; called inside a signal handler, so it must not wait for a lock.
    """
    received: list[int] = []

    def handle(number: int, _: FrameType | None) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
        stop()

    before = {number: signal.signal(number, handle) for number in heard()}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """The socket has told already."""


def _exit(code: int, text: str, last: Callable[[], object] = lambda: None) -> None:
    """End without waiting for anything: the main thread may hold the lock of ``sys.stderr``, or be stuck for good."""
    with suppress(OSError):
        os.write(2, f"malle-rt: {text}\n".encode(errors="backslashreplace"))
    last()  # as late as possible: the main thread is still at work
    os._exit(code)
