"""The source that keeps going: a camera or stream that is connected again whenever it is lost."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from weakref import WeakSet

from malle_rt.errors import SourceError
from malle_rt.frame import Packet, VideoInfo
from malle_rt.live.capture.device import Capture, CaptureRequest, DeviceAddress
from malle_rt.live.capture.reconnector import Reconnector
from malle_rt.live.capture.splice import Splice
from malle_rt.live.capture.status import SourceStatus
from malle_rt.live.capture.stream import StreamCapture
from malle_rt.live.frame import LiveFrame
from malle_rt.media.template import Template
from malle_rt.pipeline import PipelineConfig
from malle_rt.pipeline.channel import Channel

__all__ = ["LiveSource", "open_capture"]

log = logging.getLogger(__name__)

_DEPTH = 1  # pictures that may wait: more would only be older
_CLOSING = 1.5  # seconds that ``close`` waits for readers
# Requests whose user has been warned: each is opened again for every connection.
_warned: WeakSet[CaptureRequest] = WeakSet()


def open_capture(request: CaptureRequest) -> Capture:
    """Open the camera, stream or file that ``request.device`` names; warn once of options it has no use for.

    Raises:
        SourceError: it cannot be opened, or gives no picture.
    """
    if request not in _warned:
        _warned.add(request)
        _warn_of_unused(request)
    if not DeviceAddress.parse(request.device).is_camera:
        return StreamCapture(request)
    # OpenCV is not needed for streams.
    from malle_rt.live.capture.camera import CameraCapture

    return CameraCapture(request)


def _warn_of_unused(request: CaptureRequest) -> None:
    address = DeviceAddress.parse(request.device)
    unused = []
    if not address.takes_modes:
        mode = {"--size": request.size, "--fps": request.frame_rate, "--fourcc": request.fourcc}
        unused = [option for option, value in mode.items() if value is not None]
    if request.loop and (address.is_camera or address.self_paced):
        unused.append("--loop")
    if request.deinterlace is not None and address.is_camera:
        unused.append("--deinterlace")
    if unused:
        log.warning("ignored: %s (of no use with %s)", ", ".join(unused), address.shown)


class LiveSource:
    """Pictures and sound of a live input, for a ``Pipeline``: always the newest, through every reconnection.

    A reader thread owns the device or connection and fills the channel; a second thread watches it, gives it up when
    no picture comes, and starts the next one. Timestamps go on over all connections. An input that ends well, such
    as a file without ``loop``, ends the source. Satisfies ``PushSource``.

    Attributes:
        channel: frames and sound as they come; closed at the end of the input, and a tenth of a second after
            ``interrupt``.
        status: how it fares.
    """

    def __init__(self, opener: Callable[[], Capture], *, stall: float = 2.0) -> None:
        """Connect, and wait for the first picture.

        Args:
            opener: opens the input; called in the reader's thread, again for every connection.
            stall: seconds without a picture after which the connection counts as lost.

        Raises:
            SourceError: it cannot be opened, or gives no picture. What was never there is not waited for.
        """
        self.channel = Channel(PipelineConfig(depth=_DEPTH))
        self.status = SourceStatus()
        self._interrupted = False
        self._inbox = _Inbox(self.channel, self.status)
        self._reconnector = Reconnector(
            opener, self._inbox, self.status, stall=stall, at_end=self._inbox.close
        )
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
    def dropped(self) -> int:
        """Frames dropped because nobody had taken them when newer ones came, or when the end was asked for."""
        return self.channel.dropped + (len(self.channel) if self._interrupted else 0)

    @property
    def abandoned(self) -> int:
        """Readers that were given up and have not come back: after ``close``, only ``os._exit`` ends such a process."""
        return self._reconnector.abandoned

    @property
    def failure(self) -> Exception | None:
        """Why it ended, if not well: what broke in here."""
        return self._reconnector.failure

    def interrupt(self) -> None:
        """Close the channel within a tenth of a second. From any thread or a signal handler; returns at once."""
        self._interrupted = True
        self._reconnector.stop()

    def close(self) -> None:
        """End all threads, as far as they come back within two seconds. May be called twice."""
        self._reconnector.stop()
        self._reconnector.wait_closed(_CLOSING)

    def _first_template(self) -> Template:
        while not self._inbox.ready.wait(0.1):  # in short waits, so that Ctrl-C is heard on Windows too
            pass
        if self.failure is not None:
            raise self.failure
        if self._inbox.template is None:
            raise SourceError("the input has ended before its first picture. Check it in a player")
        return self._inbox.template


class _Inbox:
    """Puts what readers read onto one timeline and into the channel.

    Attributes:
        template: of the first connection, once its first frame has come.
        ready: set then, or when none will come.
    """

    def __init__(self, channel: Channel, status: SourceStatus) -> None:
        self.template: Template | None = None
        self.ready = threading.Event()
        self._channel, self._status = channel, status
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
            self._status.opened(capture.description)
            return True

    def take(self, number: int, item: LiveFrame | Packet) -> bool:
        with self._lock:
            if number != self._reader:
                return False
            if isinstance(item, LiveFrame):
                return self._frame(item)
            packet = self._splice.packet(item)
        # Not under the lock: the channel makes sound wait when nobody takes it.
        return packet is None or self._channel.put(packet)

    def _frame(self, frame: LiveFrame) -> bool:
        placed = self._splice.frame(frame)
        self._status.picture(placed.captured, float(placed.seconds))
        wanted = self._channel.offer(placed)
        if self.template is None:
            self.template = self._template
            self.ready.set()
        return wanted

    def close(self) -> None:
        """Nothing more will come."""
        self._channel.close()
        self.ready.set()
