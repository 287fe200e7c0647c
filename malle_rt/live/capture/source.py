"""The source that keeps going: a camera or stream that is connected again whenever it is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from malle_rt.errors import SourceError
from malle_rt.frame import Packet, VideoInfo
from malle_rt.live.capture.device import Capture
from malle_rt.live.capture.reconnector import Keeper
from malle_rt.live.capture.splice import Splice
from malle_rt.live.capture.status import Standing
from malle_rt.live.frame import Shot
from malle_rt.live.statistics import SourceState
from malle_rt.media.template import Template
from malle_rt.pipeline import PipelineConfig
from malle_rt.pipeline.channel import Channel

__all__ = ["LiveSource"]

_DEPTH = 2  # pictures that may wait; more would only be older
_CLOSING = 1.5  # seconds that ``close`` waits for readers


class LiveSource:
    """Pictures and sound of a live input, for a ``Pipeline``: always the newest, through every reconnection.

    A reader thread owns the device or connection; a second thread watches it, gives it up when no picture comes,
    and starts the next one. Timestamps go on over all connections. An input that ends well, such as a file without
    ``loop``, ends the source.
    """

    def __init__(self, opener: Callable[[], Capture], *, stall: float = 2.0) -> None:
        """Connect, and wait for the first picture.

        Args:
            opener: opens the input; called in the reader's thread, again for every connection.
            stall: seconds without a picture after which the connection counts as lost.

        Raises:
            SourceError: it cannot be opened, or gives no picture. What was never there is not waited for.
        """
        self._channel = Channel(PipelineConfig(depth=_DEPTH, when_full="drop_oldest"))
        self._standing = Standing()
        self._interrupted = False
        self._inbox = _Inbox(self._channel, self._standing)
        self._keeper = Keeper(opener, self._inbox, self._standing, stall=stall, at_end=self._inbox.close)
        try:
            self._template = self._first_template()
        except BaseException:
            self.close()
            raise

    @property
    def info(self) -> VideoInfo:
        """The video track of the first connection."""
        return self._template.info

    @property
    def template(self) -> Template:
        """What a recording needs to know, of the first connection; later sound that differs is left out."""
        return self._template

    @property
    def description(self) -> str:
        """The input and its mode at the newest connection, one line."""
        return self._standing.description

    @property
    def state(self) -> SourceState:
        """Of the input: "live", "lost" while it reconnects, "ended"."""
        return self._standing.state

    @property
    def problem(self) -> str | None:
        """What a viewer must know while the input is lost, one line without passwords; None when all is well."""
        return self._standing.problem

    @property
    def lost_since(self) -> float | None:
        """When the last picture came, on the clock of ``time.monotonic``; None unless the input is lost."""
        return self._standing.lost_since

    @property
    def frames_in(self) -> int:
        """Shots that came, those dropped included."""
        return self._standing.pictures

    @property
    def dropped(self) -> int:
        """Shots dropped because nobody had taken them when newer ones came, or when the end was asked for."""
        left = len(self._channel) if self._interrupted else 0
        return self._channel.dropped + self._inbox.refused + left

    @property
    def captured_fps(self) -> float:
        """Shots per second that came of late."""
        return self._standing.fps

    @property
    def connection(self) -> int:
        """Number of the newest connection, from 1."""
        return self._standing.connection

    @property
    def abandoned(self) -> int:
        """Readers that were given up and have not come back: after ``close``, only ``os._exit`` ends such a process."""
        return self._keeper.abandoned

    def __iter__(self) -> Iterator[Shot | Packet]:
        """Shots and sound as they come, once, until the input ends or ``interrupt`` is called."""
        for item in self._channel:
            assert isinstance(item, Shot | Packet)
            yield item
        if self._keeper.failure is not None:
            raise self._keeper.failure

    def interrupt(self) -> None:
        """End the iteration within a tenth of a second. From any thread or a signal handler; returns at once."""
        self._interrupted = True
        self._keeper.stop()

    def close(self) -> None:
        """End all threads, as far as they come back within two seconds. May be called twice."""
        self._keeper.stop()
        self._keeper.wait_closed(_CLOSING)

    def _first_template(self) -> Template:
        while not self._inbox.ready.wait(0.1):  # in short waits, so that Ctrl-C is heard on Windows too
            pass
        if self._keeper.failure is not None:
            raise self._keeper.failure
        if self._inbox.template is None:
            raise SourceError("the input has ended before its first picture. Check it in a player")
        return self._inbox.template


class _Inbox:
    """Puts what readers read onto one timeline and into the channel.

    Attributes:
        template: of the first connection, once its first shot has come.
        ready: set then, or when none will come.
        refused: shots that came after the end.
    """

    def __init__(self, channel: Channel, standing: Standing) -> None:
        self.template: Template | None = None
        self.ready = threading.Event()
        self.refused = 0
        self._channel, self._standing = channel, standing
        self._lock = threading.Lock()
        self._splice = Splice()
        self._reader = 0

    def opened(self, number: int, capture: Capture) -> bool:
        with self._lock:
            if number <= self._reader:
                return False
            self._reader = number
            self._splice.begin(capture.template)
            self._template = capture.template
            self._standing.opened(capture.description)
            return True

    def take(self, number: int, item: Shot | Packet) -> bool:
        with self._lock:
            if number != self._reader:
                return False
            if isinstance(item, Shot):
                return self._shot(item)
            packet = self._splice.packet(item)
        # Not under the lock: the channel makes sound wait when nobody takes it.
        return packet is None or self._channel.put(packet)

    def _shot(self, shot: Shot) -> bool:
        placed = self._splice.shot(shot)
        self._standing.picture(placed.captured, float(placed.seconds))
        wanted = self._channel.put(placed)
        self.refused += not wanted
        if self.template is None:
            self.template = self._template
            self.ready.set()
        return wanted

    def close(self) -> None:
        """Nothing more will come."""
        self._channel.close()
        self.ready.set()
