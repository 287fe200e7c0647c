"""What an input lacks: read, and compared with what its header and index promise."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
from av.container import InputContainer

from malle_rt.media.compat import exact

__all__ = ["Losses"]

_AV_TIME_BASE = 1_000_000
# Formats whose index counts the frames of a track; of a fragmented MP4 those of its first part. AVI counts ticks,
# those without a frame too.
_COUNTED = ("mov",)
# Formats whose header tells the length, written when the file was finished; elsewhere FFmpeg guesses it.
_TIMED = ("mov", "matroska", "avi", "flv")
# Seconds by which a length may be off: the last packets of tracks often have no duration.
_ROUNDING = Fraction(1, 5)


class Losses:
    """Watches the packets and pictures of one input.

    Attributes:
        damaged: pictures that the decoder could not restore wholly.
        corrupt: packets that FFmpeg found cut, or behind a gap, once pictures came.
        pictures: pictures that were decoded.
    """

    def __init__(self, container: InputContainer, video: av.VideoStream) -> None:
        """Note what is promised."""
        formats = container.format.name.split(",")
        self.damaged = self.corrupt = self.pictures = 0
        self._video = video.index
        self._frames = video.frames if any(name in formats for name in _COUNTED) else 0
        rate = exact(video.average_rate) if video.average_rate else Fraction(25)
        self._frame = 1 / rate
        self._end: Fraction | None = None
        if container.duration and any(name in formats for name in _TIMED):
            self._end = Fraction(container.duration, _AV_TIME_BASE)
        self._seen = 0
        self._last = Fraction(0)
        self._clean = False

    def packet(self, packet: av.Packet[Any]) -> None:
        """One packet was read, of any track, its timestamps not yet moved."""
        self._seen += packet.stream_index == self._video
        self.corrupt += packet.is_corrupt and self._clean
        ticks = packet.pts if packet.pts is not None else packet.dts
        if ticks is not None and packet.time_base:
            self._last = max(self._last, (ticks + (packet.duration or 0)) * exact(packet.time_base))

    def picture(self, picture: av.VideoFrame) -> None:
        """One picture was decoded. A stream may begin between two keyframes: what comes before the first is no loss."""
        self.pictures += 1
        corrupt = bool(picture.is_corrupt)
        self._clean = self._clean or not corrupt
        self.damaged += corrupt and self._clean

    def missing(self, *, whole: bool) -> str | None:
        """What the end lacks, one line; None where nothing is known to be missing.

        Args:
            whole: whether everything was read from the beginning, and not from a later start.
        """
        if whole and 0 < self._seen < self._frames:
            lost = self._frames - self._seen
            return (
                f"{float(lost * self._frame):.1f} s of the input are missing: "
                f"{self._seen} of its {self._frames} frames are there"
            )
        if self._end is None or self._seen > self._frames > 0:
            return None
        lost_seconds = self._end - self._last
        if lost_seconds <= _ROUNDING + 2 * self._frame:
            return None
        promised = f"its header promises {float(self._end):.1f} s"
        return f"the last {float(lost_seconds):.1f} s of the input are missing, {promised}"
