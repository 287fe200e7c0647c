"""Sound on its way past the pictures: parameters and packets that outlive the input they came from."""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import av
from av.container import InputContainer

from malle_rt.frame import Packet
from malle_rt.media.carrying import copy_labels
from malle_rt.media.compat import add_copy, exact

__all__ = ["HeldTracks", "matching_tracks"]

log = logging.getLogger(__name__)


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

    def packet(self, packet: av.Packet[Any], shift: Fraction) -> Packet | None:
        """A copy of a packet that needs its input no more, ``shift`` seconds later; None for what is not sound.

        Packets that are decoded and not heard, the run-up of a track, are left out: live, nothing begins with them.
        """
        track = self._tracks.get(packet.stream_index)
        if track is None or packet.is_discard or not packet.time_base:
            return None
        copy: av.Packet[Any] = av.Packet(bytes(packet))
        ticks = round(shift / exact(packet.time_base))
        copy.pts = None if packet.pts is None else packet.pts + ticks
        copy.dts = None if packet.dts is None else packet.dts + ticks
        copy.time_base, copy.duration = packet.time_base, packet.duration
        copy.is_keyframe = packet.is_keyframe
        return Packet(copy, track)

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
