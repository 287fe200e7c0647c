"""One stage: a named thread that closes its neighbours however it ends."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from malle_rt.pipeline.channel import Channel

__all__ = ["Failures", "Stage"]

log = logging.getLogger(__name__)


class Failures:
    """Errors of all stages in the order in which they happened."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._errors: list[tuple[str, BaseException]] = []

    def add(self, stage: str, error: BaseException) -> None:
        """Note an error."""
        with self._lock:
            self._errors.append((stage, error))

    @property
    def first(self) -> tuple[str, BaseException] | None:
        """Stage and error that came first; later ones are mostly its echo."""
        with self._lock:
            return self._errors[0] if self._errors else None


class Stage:
    """A thread that runs ``body``, then releases what it owns and closes the channels at both its ends.

    Closed channels are what wakes the neighbours: ``put`` returns False, iteration ends. So a failure anywhere
    ends every stage, and so does a sink that stops early.
    """

    def __init__(
        self,
        name: str,
        body: Callable[[], None],
        *,
        channels: Sequence[Channel],
        release: Callable[[], None],
        failures: Failures,
    ) -> None:
        """Prepare the thread.

        Args:
            name: of the thread.
            body: the work; it ends when its inbox ends or its outbox is closed.
            channels: inbox and outbox, as far as the stage has them.
            release: called by the thread itself at the end, since containers and GPU streams belong to one thread.
            failures: where errors go.
        """
        self._body = body
        self._channels = channels
        self._release = release
        self._failures = failures
        # Not a daemon: a daemon thread inside FFmpeg or CUDA crashes the interpreter as it shuts down.
        self._thread = threading.Thread(target=self._run, name=name, daemon=False)
        self._started = False
        # Not Thread.join: a signal handler that raises inside it makes Python take a running thread for ended.
        self._ended = threading.Event()

    def start(self) -> None:
        """Start the thread."""
        self._started = True
        try:
            self._thread.start()
        except RuntimeError:  # the system has no thread left
            self._started = False
            raise

    def wait(self, seconds: float) -> bool:
        """Wait for the end, at most so long; whether it has ended, or never began."""
        return not self._started or self._ended.wait(seconds)

    def abandon(self) -> None:
        """Release what a stage that never began would have released itself."""
        if not self._started:
            self._release()

    def _run(self) -> None:
        try:
            self._body()
        except BaseException as error:
            self._failures.add(self._thread.name, error)
        finally:
            try:
                self._release()
            except Exception as error:
                log.warning("%s: closing failed: %s", self._thread.name, error)
            for channel in self._channels:
                channel.close()
            self._ended.set()
