"""Demux and decode a video track, for files and live streams: what is broken is skipped and counted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, cast

import av
from av.container import InputContainer

from malle_rt.errors import SourceError
from malle_rt.media.compat import exact
from malle_rt.media.timeline import PacketClock, frame_rate_of

__all__ = ["Silence", "VideoInput", "transparent_decoder"]

log = logging.getLogger(__name__)

# Reading errors in a row, without one good packet, after which the rest of the file counts as lost.
_HOPELESS = 100


class Silence(SourceError):
    """A network stream from which nothing came any more."""


class VideoInput:
    """An open container, of which one video track is decoded: packets, pictures and their times.

    Attributes:
        container: the opened input.
        video: its stream that is decoded.
        corrupt_packets: packets that could not be read or decoded.
    """

    def __init__(
        self, container: InputContainer, video: av.VideoStream, name: str, decoder: Any = None
    ) -> None:
        """Nothing is read yet.

        Args:
            container: the opened input.
            video: its stream to decode.
            name: what messages call the input; its URL may hold a password.
            decoder: another one than the stream's own.
        """
        self.corrupt_packets = 0
        self.container = container
        self.video = video
        self._name = name
        self._clock = PacketClock(container.format)
        self._counts_frames = container.format.name == "avi"
        self._decoder = video.codec_context if decoder is None else decoder

    def packets(self, note: Callable[[av.Packet[Any]], object] | None = None) -> Iterator[av.Packet[Any]]:
        """All packets of the container in its order, without the empty ones PyAV adds at the end; joins are bridged.

        Args:
            note: told of each packet before its time is corrected.

        Raises:
            Silence: a network stream that stalled.
        """
        errors = 0
        while errors < _HOPELESS:
            try:
                for packet in self.container.demux():
                    errors = 0
                    if packet.size or packet.dts is not None:
                        if note is not None:
                            note(packet)
                        self._clock.adjust(packet)
                        yield packet
                return
            except IndexError:
                # PyAV before 19, at the end of a stream that has got a further track meanwhile.
                return
            except (av.error.TimeoutError, av.error.ExitError) as exc:
                raise Silence(f"{self._name}: no data any more, gave up waiting. Reconnect") from exc
            except av.error.FFmpegError as exc:
                errors += 1
                if errors == 1:  # what is asked for again and again is one gap, or the end
                    self._count(exc)
        log.warning("%s: nothing readable follows; treated as its end", self._name)

    def decode(self, packet: av.Packet[Any]) -> list[av.VideoFrame]:
        """Frames that the packet completes; none when it is damaged."""
        try:
            frames: list[av.VideoFrame] = self._decoder.decode(packet)
        except av.error.FFmpegError as exc:
            self._count(exc)
            return []
        return frames

    def drain(self) -> Iterator[av.VideoFrame]:
        """Frames the decoder still holds at the end."""
        errors = 0
        while errors < _HOPELESS:
            try:
                frames = self._decoder.decode(None)
            except av.error.EOFError:
                return
            except av.error.FFmpegError as exc:
                errors += 1
                self._count(exc)
                continue
            if not frames:
                return
            yield from frames

    def unit(self, picture: av.VideoFrame) -> Fraction:
        """Seconds per unit of the picture's pts."""
        return exact(picture.time_base or self.video.time_base or 1)

    def timestamp(self, picture: av.VideoFrame) -> int | None:
        """The picture's pts in units of its time_base; None where nothing says."""
        # AVI stores no presentation times; FFmpeg guesses them and can swap neighbours. Frames come out of the
        # decoder in display order, so there the decoding times, a plain count, are the right ones.
        if self._counts_frames:
            return picture.dts
        return picture.pts if picture.pts is not None else picture.dts

    @property
    def frame_ticks(self) -> int:
        """Duration of one frame at the average rate, in units of the track's time_base."""
        rate = frame_rate_of(self.video)
        return round(1 / rate / exact(self.video.time_base)) if rate and self.video.time_base else 1

    def _count(self, exc: av.error.FFmpegError) -> None:
        if isinstance(exc, MemoryError):  # nothing is wrong with the data
            raise exc
        if not self.corrupt_packets:
            log.warning(
                "%s: damaged data is skipped (%s); more of it is only counted", self._name, exc.strerror
            )
        self.corrupt_packets += 1


def transparent_decoder(video: av.VideoStream) -> Any:
    """The decoder for WebM with transparency, which FFmpeg's own of VP8 and VP9 drop; None for other streams.

    Warns where this FFmpeg has no such decoder.
    """
    tags = {key.lower(): value for key, value in video.metadata.items()}
    name = {"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(video.codec_context.name)
    if tags.get("alpha_mode") != "1" or name is None:
        return None
    try:
        decoder = cast(av.VideoCodecContext, av.CodecContext.create(name, "r"))
    except ValueError:
        log.warning("transparency is dropped: this FFmpeg has no decoder %s", name)
        return None
    decoder.extradata = video.codec_context.extradata
    decoder.thread_type = "AUTO"
    return decoder
