"""One timeline from several connections: their pictures, and the sound that goes past them."""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import av
from av.container import InputContainer

from malle_rt.frame import Packet
from malle_rt.live.frame import LiveFrame
from malle_rt.media.carrying import copy_labels
from malle_rt.media.compat import add_copy
from malle_rt.media.template import Template
from malle_rt.media.timeline import shift, shifted

__all__ = ["HeldTracks", "Splice", "matching_tracks"]

log = logging.getLogger(__name__)


class Splice:
    """Places each connection behind the one before, as far behind as the clock says.

    The first one stays as it is. Used by one thread at a time.
    """

    def __init__(self) -> None:
        self._connection = 0
        self._first: Template | None = None
        self._shift: Fraction | None = None
        self._last: LiveFrame | None = None
        self._zero = Fraction(0)
        self._tracks: dict[int, int] = {}
        self._warned = False

    def begin(self, template: Template) -> None:
        """A new connection, whose streams are those of ``template``."""
        self._connection += 1
        self._shift = None
        if self._first is None:
            self._first = template
        self._tracks = matching_tracks(self._first.others, template.others)
        if len(self._tracks) < len(template.others) and not self._warned:
            self._warned = True
            log.warning(
                "%s: the sound has other parameters than at first: it is left out",
                template.location or "input",
            )

    def frame(self, frame: LiveFrame) -> LiveFrame:
        """The frame on the common timeline, in the first connection's time_base, later than the one before."""
        last = self._last
        if self._shift is None:
            self._shift = self._place(frame)
        unit = frame.time_base if last is None else last.time_base
        pts = round((frame.seconds + self._shift) / unit)
        if last is not None:
            pts = max(pts, last.pts + 1)
        placed = replace(
            frame,
            pts=pts,
            time_base=unit,
            duration=round(frame.duration * frame.time_base / unit),
            connection=self._connection,
        )
        # Without its planes: the last picture need not be kept for its instant.
        self._last = replace(placed, planes=())
        return placed

    def _place(self, frame: LiveFrame) -> Fraction:
        """Seconds to add to the timestamps of the connection that begins with ``frame``."""
        # To the microsecond: the exact value of a float has a denominator that every sum would carry on.
        now = Fraction(round(frame.captured * 1_000_000), 1_000_000)
        if self._last is None:
            self._zero = now - frame.seconds
            return Fraction(0)
        # Always counted from the first connection, so that errors do not add up over many.
        earliest = self._last.seconds + frame.duration * frame.time_base
        return max(now - self._zero, earliest) - frame.seconds

    def packet(self, packet: Packet) -> Packet | None:
        """The packet on the common timeline; None before the connection's first picture, and for unknown tracks."""
        track = self._tracks.get(packet.track)
        if track is None or self._shift is None:
            return None
        payload: Any = packet.payload
        shift(payload, self._shift)
        return Packet(payload, track)


class HeldTracks:
    """Copies of an input's video and audio streams in a container that is never written.

    Recordings are begun long after a connection has gone; all they need to know of its streams is here.

    Attributes:
        video: copy of the video stream; None where it cannot be copied.
        others: copies of the audio streams; their ``index`` is the ``track`` of their packets.
    """

    def __init__(self, container: InputContainer, video: av.VideoStream, shown: str) -> None:
        """Copy the parameters.

        Args:
            container: the input.
            video: its stream that frames come from.
            shown: the input's name in messages.
        """
        self._holder = av.open(io.BytesIO(), "w", format="matroska")
        self._tracks: dict[int, int] = {}
        self.others: tuple[Any, ...] = ()
        # First, whatever place it has in the input: a sink carries what stands behind the picture.
        self.video = self._hold_video(video)
        for stream in container.streams.audio:
            try:
                copy = self._hold(stream)
            except (av.error.FFmpegError, ValueError, AttributeError) as exc:
                log.warning("%s: sound of track %d is left out (%s)", shown, stream.index, exc)
                continue
            self._tracks[stream.index] = copy.index
            self.others += (copy,)

    def packet(self, packet: av.Packet[Any], shift_by: Fraction) -> Packet | None:
        """A copy of a packet that needs its input no more, ``shift_by`` seconds later; None for what is not sound.

        Packets that are decoded and not heard, the run-up of a track, are left out: live, nothing begins with them.
        """
        track = self._tracks.get(packet.stream_index)
        if track is None or packet.is_discard or not packet.time_base:
            return None
        return Packet(shifted(packet, shift_by), track)

    def _hold_video(self, stream: av.VideoStream) -> Any:
        """A copy; None for FFmpeg's own pictures (lavfi), which no container can hold: then the place is filled."""
        try:
            return self._hold(stream)
        except (av.error.FFmpegError, ValueError):
            self._holder.add_stream("ffv1")
            return None

    def _hold(self, stream: Any) -> Any:
        copy = add_copy(self._holder, stream)
        copy_labels(stream, copy)
        return copy


def matching_tracks(first: Sequence[Any], now: Sequence[Any]) -> dict[int, int]:
    """Which audio track of an earlier connection each one of a new connection continues, by their indices.

    A track that none has the parameters of is not in the answer: its packets would be noise in a recording.
    """
    free = list(first)
    found = {}
    for stream in now:
        same = next((old for old in free if _parameters(old) == _parameters(stream)), None)
        if same is not None:
            free.remove(same)
            found[stream.index] = same.index
    return found


def _parameters(stream: Any) -> tuple[object, ...]:
    """What a decoder of the track has to be told."""
    context = stream.codec_context
    return (context.name, context.sample_rate, context.layout.name, context.extradata)
