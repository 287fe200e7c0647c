"""One opening of a stream or file: its pictures and its other packets, in order."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av

from malle_rt.errors import SourceError
from malle_rt.live.capture.connecting import Timeouts, connect
from malle_rt.live.capture.device import Address
from malle_rt.media.demux import VideoInput
from malle_rt.media.opening import main_video
from malle_rt.media.window import instant_of
from malle_rt.shown import without_secrets

__all__ = ["StreamInput"]

log = logging.getLogger(__name__)

# Pictures without timestamps after which no more timestamps are waited for: raw H.264 has none.
_UNDATED = 5
# Packets kept that come before the first picture: 5 s of AAC.
_MOST_HELD = 256


class StreamInput:
    """An open container whose main video track is decoded.

    Attributes:
        container: the open input.
        video: its stream that pictures come from.
        demuxed: the packets and pictures of both, and their times.
        first: the first picture.
    """

    def __init__(self, address: Address, timeouts: Timeouts) -> None:
        """Open the input and decode one picture.

        Raises:
            SourceError: it cannot be opened, has no video, or gives no picture in time.
        """
        self._address, self._timeouts = address, timeouts
        self._lost = False  # whether packets are missing
        self.container = connect(address, timeouts)
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
