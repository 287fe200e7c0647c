"""One opening of a stream, a file or a source graph: its pictures and its other packets, in order and in time."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer

from malle_rt.errors import SourceError
from malle_rt.live.capture.device import DeviceAddress
from malle_rt.media.compat import open_reading
from malle_rt.media.demux import VideoInput
from malle_rt.media.hardware import decoder_into_memory
from malle_rt.media.opening import check_file, main_video, open_file
from malle_rt.media.play_lists import UDP_OPTIONS, address_options, list_kind, names_others
from malle_rt.media.window import instant_of
from malle_rt.shown import without_secrets

__all__ = ["StreamInput", "Timeouts", "connect"]

log = logging.getLogger(__name__)

# Pictures without timestamps after which no more timestamps are waited for: raw H.264 has none.
_UNDATED = 5
# Packets kept that come before the first picture: 5 s of AAC.
_MOST_HELD = 256
# For whatever sends at its own pace. Half of FFmpeg's usual look at a stream; its option "nobuffer" is left out:
# it throws away what that look has read, so that the first picture has to wait for the next keyframe, and what
# is gained by it is gained by dropping old frames too.
_LOW_DELAY = (
    {
        "probesize": "1000000",  # bytes
        "analyzeduration": "1000000",  # microseconds
        "max_delay": "100000",  # microseconds that RTP packets are waited for, to put them in order
        "rtsp_flags": "prefer_tcp",  # no lost packets; UDP where the server does not want it or the URL ends in ?udp
    }
    | UDP_OPTIONS
)
# PyAV's wheels come without SRT; distributions build their ffmpeg program with it.
_NO_SRT = (
    "the FFmpeg that PyAV brings here has no SRT. Run ffmpeg -i srt://... -c copy -f mpegts udp://127.0.0.1:1234 "
    "beside it, and give --device udp://127.0.0.1:1234"
)
_REASONS: dict[type[Exception], str] = {
    av.error.HTTPUnauthorizedError: (
        "the server wants another user and password (401). Give them in the URL: scheme://user:password@host/..."
    ),
    av.error.HTTPForbiddenError: "the server does not let this user in (403). Ask who runs it",
    av.error.HTTPNotFoundError: "the server has nothing of that name (404). Check the end of the URL",
    av.error.ConnectionRefusedError: (
        "nothing listens there (connection refused). Check address and port, and that the server is up"
    ),
}


class StreamInput:
    """An open container whose main video track is decoded.

    Attributes:
        container: the open input.
        video: its stream that pictures come from.
        demuxed: the packets and pictures of both, and their times.
        first: the first picture.
    """

    def __init__(self, address: DeviceAddress, timeouts: Timeouts, gpu: int | None = None) -> None:
        """Open the input and decode one picture.

        Args:
            address: of the input.
            timeouts: when it counts as gone.
            gpu: see ``CaptureRequest``.

        Raises:
            SourceError: it cannot be opened, has no video, or gives no picture in time.
        """
        self._address, self._timeouts = address, timeouts
        self._lost = False  # whether packets are missing
        self.container = connect(address, timeouts, gpu)
        try:
            self.video = main_video(self.container, address.shown)
            # Frame threads hold back as many pictures as there are threads.
            self.video.codec_context.thread_type = "SLICE" if address.kind == "url" else "AUTO"
            self.demuxed = VideoInput(self.container, self.video, address.shown)
            self._items = self._read(time.monotonic() + timeouts.opening)
            self._held: deque[av.Packet[Any]] = deque(maxlen=_MOST_HELD)
            self.first = self._first_picture()
        except BaseException:
            self.close()
            raise

    @property
    def on_gpu(self) -> bool:
        """Whether NVDEC decodes."""
        return bool(getattr(self.video.codec_context, "is_hwaccel", False))

    @property
    def duration(self) -> Fraction | None:
        """Seconds, as the container says; None when it does not."""
        return Fraction(self.container.duration, 1_000_000) if self.container.duration else None

    def items(self) -> Iterator[av.VideoFrame | av.Packet[Any]]:
        """The first picture and all that follows; packets are those of other tracks.

        Raises:
            SourceError: a network stream that stalled or broke.
        """
        yield self.first
        yield from self._held_back()
        yield from self._items

    def close(self) -> None:
        """Release the input. May be called twice."""
        self._items = iter(())
        self.container.close()

    def _first_picture(self) -> av.VideoFrame:
        """The first that says when it is, as the very first ones of RTSP do not."""
        undated = 0
        for item in self._items:
            if not isinstance(item, av.VideoFrame):
                self._held.append(item)
                continue
            if self._address.kind != "url" or self.demuxed.timestamp(item) is not None or undated >= _UNDATED:
                return item
            undated += 1
        raise SourceError(f"{self._address.shown}: no picture could be decoded. Try it in a player")

    def _held_back(self) -> Iterator[av.Packet[Any]]:
        """Packets that came before the first picture and belong behind it."""
        begin = (self.demuxed.timestamp(self.first) or 0) * self.demuxed.unit(self.first)
        while self._held:
            packet = self._held.popleft()
            if (instant_of(packet) or 0) >= begin:
                yield packet

    def _read(self, end: float) -> Iterator[av.VideoFrame | av.Packet[Any]]:
        """Pictures and packets; the first picture by the instant ``end``."""
        seen = False
        for packet in self._packets():
            if packet.is_corrupt and self._address.kind == "url":
                if seen:  # a stream that is joined in the middle of a picture has lost nothing
                    self._tell_loss()
                continue
            if packet.stream_index != self.video.index:
                yield packet
                continue
            pictures = self.demuxed.decode(packet)
            seen = seen or bool(pictures)
            if not seen and time.monotonic() > end:
                raise SourceError(
                    f"{self._address.shown}: data comes, but no picture can be decoded. Try it in a player"
                )
            yield from pictures
        yield from self.demuxed.drain()

    def _tell_loss(self) -> None:
        if not self._lost:
            udp = " (Linux: sysctl -w net.core.rmem_max=4194304 makes room for bursts)"
            log.warning(
                "%s: packets are lost on the way, pictures that miss some are left out; said once%s",
                self._address.shown,
                udp if self._address.target.startswith("udp") else "",
            )
        self._lost = True

    def _packets(self) -> Iterator[av.Packet[Any]]:
        try:
            yield from self._in_time(self.demuxed.packets())
        except SourceError as exc:
            text = without_secrets(str(exc))
        else:
            return
        # Outside the handler: the error above may name the URL with its password.
        raise SourceError(text)

    def _in_time(self, packets: Iterator[av.Packet[Any]]) -> Iterator[av.Packet[Any]]:
        """The packets, as long as each comes within the time limit.

        FFmpeg's parsers hold the last picture until the next one begins. When reading times out, FFmpeg gives
        that one first, as if all were well, and waits once more.
        """
        limit = self._timeouts.reading
        begin = time.monotonic()
        for packet in packets:
            if self._address.kind == "url" and time.monotonic() - begin >= limit:
                raise SourceError(
                    f"{self._address.shown}: no data for {limit:g} s. Check that the server is up"
                )
            yield packet
            begin = time.monotonic()


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """Seconds after which an input counts as gone.

    Attributes:
        opening: until it is open, and from then to the first picture.
        reading: for each packet.
    """

    opening: float = 10.0
    reading: float = 2.0


def connect(address: DeviceAddress, timeouts: Timeouts, gpu: int | None = None) -> InputContainer:
    """Open an input for reading; arguments as of ``StreamInput``.

    Raises:
        SourceError: what is wrong with it, and what to do; without any password.
    """
    if address.kind == "file":
        check_file(address.target)
    begin = time.monotonic()
    try:
        return _open(address, timeouts, gpu)
    except (av.error.FFmpegError, OSError, ValueError) as exc:
        # When time is up, FFmpeg may say anything, such as "invalid data".
        timed_out = isinstance(exc, av.error.ExitError | av.error.TimeoutError)
        late = timed_out or time.monotonic() - begin >= timeouts.opening
        reason = _no_answer(address, timeouts) if late else _reason(address, exc)
    # Outside the handler: FFmpeg's own error names the URL with its password, and would be shown as the context.
    raise SourceError(f"{address.shown}: {reason}")


def _open(address: DeviceAddress, timeouts: Timeouts, gpu: int | None) -> InputContainer:
    if address.kind == "lavfi":
        return open_reading(address.target, format="lavfi")
    if address.kind == "file":
        return open_file(address.target)
    timeout = (timeouts.opening, timeouts.reading)
    options = _LOW_DELAY | address_options(address.target)
    hwaccel = None if gpu is None else decoder_into_memory(gpu)
    return open_reading(address.target, options=options, timeout=timeout, hwaccel=hwaccel)


def _no_answer(address: DeviceAddress, timeouts: Timeouts) -> str:
    if address.target.startswith("udp"):
        return (
            f"nothing has come within {timeouts.opening:g} s. Check that the sender runs and sends to this "
            "address and port"
        )
    return (
        f"no answer within {timeouts.opening:g} s. Check the address, the network and that the server is up"
    )


def _reason(address: DeviceAddress, exc: Exception) -> str:
    if address.kind == "file" and (listed := list_kind(Path(address.target))):
        return names_others(listed)
    for kind, text in _REASONS.items():
        if isinstance(exc, kind):
            return text
    reason = getattr(exc, "strerror", None) or str(exc)
    if isinstance(exc, av.error.ProtocolNotFoundError) and address.target.lower().startswith("srt:"):
        return _NO_SRT
    if address.kind == "lavfi":
        return f"FFmpeg cannot make a source of it ({reason}). Try lavfi:testsrc2"
    if isinstance(exc, av.error.InvalidDataError):
        return (
            "not a video that FFmpeg can read: damaged, not complete, or no video at all. Try it in a player"
        )
    if address.kind == "file":
        return f"cannot be opened ({reason}). Try it in a player"
    return f"cannot be opened ({reason}). Check the address, the network and that the server is up"
