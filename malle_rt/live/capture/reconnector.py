"""The watchdog over a live input: reads it in a thread, notices that it is lost, and connects again."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

from malle_rt.errors import SourceError
from malle_rt.frame import Packet
from malle_rt.live.capture.device import Capture
from malle_rt.live.capture.status import SourceStatus
from malle_rt.live.frame import LiveFrame

__all__ = ["Inbox", "Reconnector"]

log = logging.getLogger(__name__)

_POLL = 0.05  # seconds between two looks at whether to stop
# Seconds for an input to open and give a picture. Longer than the time limits inside, which can say more.
_OPENING = 25.0
_BACK_OFF = (0.5, 1.0, 2.0, 4.0, 8.0)  # seconds before each attempt to reconnect; from then on the last
_GOOD = 10.0  # seconds of pictures after which the next loss counts as the first
# Readers that hang, beyond which no further one is started: each is a thread, and may hold the device.
_MOST_HUNG = 4


class Reconnector:
    """Runs one reader after the other, each until its input ends, breaks or falls silent.

    Attributes:
        failure: why there never was a picture, or what broke in here; None where the input merely ended.
        ended: set when no reader will be started any more.
    """

    def __init__(
        self,
        opener: Callable[[], Capture],
        inbox: Inbox,
        status: SourceStatus,
        *,
        stall: float,
        at_end: Callable[[], None],
    ) -> None:
        """Start connecting.

        Args:
            opener: opens the input.
            inbox: takes what comes.
            status: told how it goes.
            stall: seconds without a picture after which a connection counts as lost.
            at_end: called when nothing more will come, by the reconnector's thread.
        """
        self.failure: Exception | None = None
        self.ended = threading.Event()
        self._opener, self._inbox, self._status = opener, inbox, status
        self._stall, self._at_end = stall, at_end
        # A plain flag: a signal handler may set it, and an Event's lock could be held by what it interrupts.
        self._stopping = False
        self._reader: ReaderThread | None = None
        self._given_up: list[ReaderThread] = []
        threading.Thread(target=self._run, name="malle-capture", daemon=False).start()

    def stop(self) -> None:
        """End within a tenth of a second. From any thread or a signal handler; returns at once."""
        self._stopping = True

    def wait_closed(self, seconds: float) -> None:
        """Wait for all readers after ``stop``, at most so long; who has not come back by then is given up."""
        end = time.monotonic() + seconds
        self.ended.wait(seconds)
        if (reader := self._reader) is not None and not reader.done.wait(max(0.0, end - time.monotonic())):
            self._give_up(reader)
            self._reader = None
        for reader in list(self._given_up):
            reader.done.wait(max(0.0, end - time.monotonic()))

    @property
    def abandoned(self) -> int:
        """Readers given up that have not come back yet."""
        return sum(not reader.done.is_set() for reader in list(self._given_up))

    def _run(self) -> None:
        try:
            self._keep_going()
        except Exception as exc:
            self.failure = exc
        finally:
            if self._reader is not None:
                self._reader.abandon()
            self._status.ended()
            self._at_end()
            self.ended.set()

    def _keep_going(self) -> None:
        attempt = number = 0
        while not self._stopping:
            number += 1
            self._reader = reader = ReaderThread(number, self._opener, self._inbox)
            reason = self._watch(reader)
            if reason is None:
                return
            if self._status.state == "waiting":
                self.failure = reason
                return
            attempt = 1 if (reader.live or 0.0) >= _GOOD else attempt + 1
            log.log(
                logging.WARNING if attempt == 1 else logging.INFO,
                "input lost: %s; reconnecting (attempt %d)",
                reason,
                attempt,
            )
            self._pause(attempt)

    def _watch(self, reader: ReaderThread) -> Exception | None:
        """Wait until the reader is of no use any more; why, or None at the end of the input and when stopped."""
        while not reader.done.wait(_POLL):
            if self._stopping:
                return None
            limit = max(_OPENING, self._stall) if reader.live is None else self._stall
            if reader.quiet > limit:
                self._give_up(reader)
                return SourceError(
                    f"no picture for {limit:g} s. Check the device, the network and the server"
                )
        return reader.error

    def _give_up(self, reader: ReaderThread) -> None:
        reader.abandon()
        self._given_up = [other for other in self._given_up if not other.done.is_set()] + [reader]

    def _pause(self, attempt: int) -> None:
        """Wait before the next attempt, longer from one to the next, and for hung readers to come back."""
        until = time.monotonic() + _BACK_OFF[min(attempt, len(_BACK_OFF)) - 1]
        self._status.lost(attempt, until)
        while not self._stopping and (time.monotonic() < until or self.abandoned >= _MOST_HUNG):
            time.sleep(_POLL)
        self._status.lost(attempt, None)


class Inbox(Protocol):
    """Who takes what readers read. Called by their threads."""

    def opened(self, number: int, capture: Capture) -> bool:
        """Reader ``number`` has opened its capture; False when a later one has done so before."""
        ...

    def take(self, number: int, item: LiveFrame | Packet) -> bool:
        """An item of reader ``number``; False when no more is wanted."""
        ...


class ReaderThread:
    """Reads a capture in a thread of its own, which may be given up: a driver can hang for ever.

    Attributes:
        done: set when the thread has closed its capture and ends.
        error: why it ended, if not by the end of its input or because nobody wants it any more.
    """

    def __init__(self, number: int, opener: Callable[[], Capture], inbox: Inbox) -> None:
        """Start reading.

        Args:
            number: of the connection attempt, rising.
            opener: opens the capture.
            inbox: takes it all.
        """
        self.done = threading.Event()
        self.error: Exception | None = None
        self._number, self._opener, self._inbox = number, opener, inbox
        self._unwanted = False
        self._delivering = False
        self._first_shot: float | None = None
        self._quiet_since = time.monotonic()
        # Not a daemon: a daemon thread inside FFmpeg or a driver crashes the interpreter as it shuts down.
        threading.Thread(target=self._run, name=f"malle-reader-{number}", daemon=False).start()

    def abandon(self) -> None:
        """Nothing more is wanted: the thread closes its capture as soon as it comes back from where it is."""
        self._unwanted = True

    @property
    def quiet(self) -> float:
        """Seconds since the last frame, or since the start; 0 while an item is handed on, which may take long."""
        return 0.0 if self._delivering else time.monotonic() - self._quiet_since

    @property
    def live(self) -> float | None:
        """Seconds from the first frame to the last; None before the first."""
        return None if self._first_shot is None else self._quiet_since - self._first_shot

    def _run(self) -> None:
        try:
            capture = self._opener()
            try:
                self._read(capture)
            finally:
                capture.close()
        except Exception as exc:
            log.debug("reader %d has failed", self._number, exc_info=True)
            # The traceback holds this thread's frames, and they hold the decoder: a cycle, with megabytes in it,
            # that would stay until the next garbage collection.
            self.error = exc.with_traceback(None)
        finally:
            self.done.set()

    def _read(self, capture: Capture) -> None:
        if self._unwanted or not self._inbox.opened(self._number, capture):
            return
        for item in capture:
            if self._unwanted or not self._hand_on(item):
                return

    def _hand_on(self, item: LiveFrame | Packet) -> bool:
        begin = time.monotonic()
        self._delivering = True
        wanted = self._inbox.take(self._number, item)
        now = time.monotonic()
        if isinstance(item, LiveFrame):
            self._first_shot = now if self._first_shot is None else self._first_shot
            self._quiet_since = now
        else:
            self._quiet_since += now - begin
        self._delivering = False
        return wanted
