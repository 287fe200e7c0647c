"""Instants that only go forward: joins of concatenated streams, missing and repeated timestamps."""

from __future__ import annotations

import logging
from fractions import Fraction
from typing import Any, cast

import av
from av.format import Flags

from malle_rt.media.compat import exact

__all__ = ["FrameClock", "PacketClock", "frame_rate_of", "has_joins", "shift", "shifted"]

log = logging.getLogger(__name__)

# Seconds. A track's decoding timestamps never go back, except at a join (or where a 33-bit clock wraps) ...
_BACK = Fraction(1, 20)
# ... and going ahead by this much in a broadcast stream is a join too, not a pause: FFmpeg's own threshold.
_AHEAD = Fraction(10)
# Frames per second; high-speed cameras write their films at less.
_FASTEST = 2000


def has_joins(container_format: av.ContainerFormat) -> bool:
    """Whether timestamps may legally jump in this format: broadcast streams, mostly without an index."""
    return bool(container_format.flags & cast(int, Flags.ts_discont.value))


def frame_rate_of(video: av.VideoStream) -> Fraction | None:
    """Frames per second: the average, else what FFmpeg guesses; None where nothing says.

    An "average" of thousands is no rate but the container's clock, as that of raw DV.
    """
    rates = [exact(rate) for rate in (video.average_rate, video.guessed_rate, video.base_rate) if rate]
    return next((rate for rate in rates if rate <= _FASTEST), rates[0] if rates else None)


def shift(packet: av.Packet[Any], seconds: Fraction) -> None:
    """Move a packet's timestamps so much later, in place, to the nearest tick of its clock."""
    if not seconds or not packet.time_base:
        return
    ticks = round(seconds / exact(packet.time_base))
    packet.pts = None if packet.pts is None else packet.pts + ticks
    packet.dts = None if packet.dts is None else packet.dts + ticks


def shifted(packet: av.Packet[Any], seconds: Fraction) -> av.Packet[Any]:
    """A copy of a packet, so many seconds later, that needs its container no more and that a muxer may write into."""
    copy: av.Packet[Any] = av.Packet(bytes(packet))
    copy.pts, copy.dts, copy.time_base, copy.duration = (
        packet.pts,
        packet.dts,
        packet.time_base,
        packet.duration,
    )
    copy.is_keyframe = packet.is_keyframe
    shift(copy, seconds)
    return copy


class PacketClock:
    """Shifts the packets behind a join so that time goes on, all tracks by the same amount.

    FFmpeg's own program does the same for MPEG-TS and streams like it, where two recordings joined end to end
    are legal; without it the second part would play over the first.
    """

    def __init__(self, container_format: av.ContainerFormat) -> None:
        """Nothing is changed in containers whose timestamps cannot legally jump (MP4, Matroska ...)."""
        self._active = has_joins(container_format)
        self._last: dict[int, Fraction] = {}
        self._offset = Fraction(0)

    def adjust(self, packet: av.Packet[Any]) -> None:
        """Correct the packet's timestamps in place."""
        if not self._active or packet.dts is None or not packet.time_base:
            return
        unit = exact(packet.time_base)
        instant = packet.dts * unit + self._offset
        if packet.stream.type in ("video", "audio"):
            instant = self._join(packet, instant, unit)
        shift(packet, self._offset)

    def _join(self, packet: av.Packet[Any], instant: Fraction, unit: Fraction) -> Fraction:
        """The packet's instant in seconds, after the offset has been moved where its track jumps."""
        track = packet.stream_index
        last = self._last.get(track, instant)
        if not -_BACK < instant - last < _AHEAD:
            expected = last + (packet.duration or 0) * unit
            log.warning(
                "track %d: time jumps by %.3f s; it goes on without the jump", track, float(instant - last)
            )
            self._offset += expected - instant
            instant = expected
        self._last[track] = instant
        return instant


class FrameClock:
    """Gives each frame a pts that is there and later than the one before.

    Attributes:
        repaired: frames whose pts was missing or not later than the last one.
    """

    def __init__(self, default_duration: int, begin: int = 0) -> None:
        """Nothing is stamped yet.

        Args:
            default_duration: of one frame in units of the track's time_base, where frames do not say.
            begin: when the track begins, in the same units: the pts of a first frame that has none. Sound of
                broadcasts and DVDs begins at some hour, and a picture at 0 would not be in sync with it.
        """
        self.repaired = 0
        self._default = max(1, default_duration)
        self._next = begin
        self._last: int | None = None

    def stamp(self, pts: int | None, duration: int) -> int:
        """The pts to use for a frame that came with ``pts`` (None: unknown) and ``duration`` (0: unknown)."""
        if pts is None:
            pts = self._repair("has no timestamp", self._next)
        elif self._last is not None and pts <= self._last:
            pts = self._repair("is not later than the one before", self._last + 1)
        self._last = pts
        self._next = pts + (duration or self._default)
        return pts

    def _repair(self, what: str, pts: int) -> int:
        if not self.repaired:
            log.warning("a frame %s; using %d (further ones are only counted)", what, pts)
        self.repaired += 1
        return pts
