"""Sound that a container cannot hold as it is: decoded, and encoded again without loss where that is possible."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, cast

import av
from av.container import OutputContainer

from malle_rt.media.compat import exact

__all__ = ["ConvertedSound", "holds_unreadably", "sound_for"]

log = logging.getLogger(__name__)

# Codecs whose 32-bit samples have 24 bits at most.
_UP_TO_24 = re.compile(r"pcm_(dvd|bluray|[su]24\w*|s20\w*)|s302m|flac|alac|truehd|mlp|wavpack|tta|tak|dca")
_LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
# Where nothing without loss fits: what the remaining containers hold.
_LOSSY = ("aac", "libopus", "libmp3lame", "ac3", "mp2")
# MPEG-TS takes everything, but readers find only these again.
_IN_TS = re.compile(r"mp[123]\w*|aac\w*|ac3|eac3|dca|truehd|opus|libopus|libmp3lame|s302m|pcm_bluray")
# Bits per second and channel of these.
_LOSSY_RATE = 128_000
# Seconds that a packet may be away from where the sound before it ends; more is a gap, filled with silence.
_TOLERANCE = Fraction(1, 50)
# Longer gaps are left as they are: an hour of silence would be written otherwise.
_LONGEST_GAP = Fraction(60)


def sound_for(format_name: str, source: Any) -> tuple[str, str] | None:
    """(encoder, sample format) that keeps a source's sound best in a container format; None where none fits."""
    return next(
        (choice for choice in _choices(format_name, source) if _fits(format_name, source, *choice)), None
    )


def holds_unreadably(format_name: str, codec: str) -> bool:
    """Whether the muxer takes the codec's packets, but what it writes cannot be read, or by few players.

    Raw samples in MP4 lose their depth (24 bits are read as 16); in MPEG-TS they become private data.
    """
    if format_name in ("mp4", "ipod"):
        return codec.startswith("pcm_")
    return format_name == "mpegts" and not _IN_TS.fullmatch(codec)


class ConvertedSound:
    """One track of sound, decoded and encoded anew.

    Attributes:
        lossless: whether every sample stays what it was.
    """

    def __init__(self, container: OutputContainer, source: Any, codec: str, sample_format: str) -> None:
        """Add the track.

        Args:
            container: the output.
            source: a stream of the input.
            codec: encoder, of ``sound_for``.
            sample_format: of its input, of ``sound_for``.
        """
        self.lossless = codec not in _LOSSY and (
            codec.startswith("pcm_") or _depth(source.codec_context) in (16, 24)
        )
        self.stream = _add_encoder(container, source, codec, sample_format)
        self._decoder = _decoder(source)
        self._layout = _layout(source)
        self._rate = int(source.codec_context.sample_rate)
        self._next: int | None = None
        self._damaged = False

    def packets(self, packet: av.Packet[Any], shift: Fraction) -> list[av.Packet[Any]]:
        """What a packet of the source becomes, ``shift`` seconds earlier."""
        try:
            frames = self._decoder.decode(packet)
        except MemoryError:
            raise
        except av.error.FFmpegError as exc:
            self._warn_once(exc)
            return []
        return [made for frame in frames for made in self._encoded(frame, shift)]

    def flush(self) -> list[av.Packet[Any]]:
        """What the decoder and the encoder still hold."""
        made: list[av.Packet[Any]] = []
        try:
            for frame in self._decoder.decode(None):
                made += self._encoded(frame, Fraction(0))
        except (av.error.FFmpegError, ValueError) as exc:
            log.debug("the decoder of sound gives no rest (%s)", exc)
        if self._next is not None:
            made += self.stream.encode(None)
        return made

    def _encoded(self, frame: av.AudioFrame, shift: Fraction) -> Iterator[av.Packet[Any]]:
        for piece in self._in_place(frame, shift):
            piece.time_base = Fraction(1, self._rate)
            yield from self.stream.encode(piece)

    def _in_place(self, frame: av.AudioFrame, shift: Fraction) -> Iterator[av.AudioFrame]:
        """The frame at its sample, after silence where the source has a gap; what lies before 0 is left out."""
        start = self._next
        if frame.pts is not None and frame.time_base:
            found = round((frame.pts * exact(frame.time_base) - shift) * self._rate)
            gap = 0 if start is None else found - start
            if start is None or not 0 <= gap <= self._rate * _LONGEST_GAP:
                start = found if start is None or gap > 0 else start
            elif gap > self._rate * _TOLERANCE:
                yield self._silence(frame, gap, start)
                start = found
        start = start or 0
        self._next = start + frame.samples
        if self._next > 0:
            frame.pts = start
            yield frame

    def _silence(self, like: av.AudioFrame, samples: int, start: int) -> av.AudioFrame:
        silence = av.AudioFrame(like.format.name, like.layout.name, samples)
        for plane in silence.planes:
            level = b"\x80" if like.format.name.startswith("u8") else b"\0"
            plane.update(level * plane.buffer_size)
        silence.sample_rate, silence.pts = like.sample_rate, start
        return silence

    def _warn_once(self, exc: av.error.FFmpegError) -> None:
        if not self._damaged:
            log.warning("damaged sound skipped (%s)", exc.strerror)
        self._damaged = True


def _choices(format_name: str, source: Any) -> Iterator[tuple[str, str]]:
    context = source.codec_context
    depth = _depth(context)
    plain = {
        16: ("pcm_s16le", "s16"),
        24: ("pcm_s24le", "s32"),
        32: ("pcm_s32le", "s32"),
        0: ("pcm_f32le", "flt"),
    }
    packed = ("flac", "s16" if depth == 16 else "s32")
    raw = context.name.startswith("pcm_") or context.name == "s302m"
    if format_name not in ("mpegts", "flv"):  # their readers know no sound without loss
        if raw:
            yield plain[depth]
        yield packed
        yield "alac", packed[1] + "p"
        yield plain[depth]
    for codec in _LOSSY:
        yield codec, ""


def _depth(context: Any) -> int:
    """Bits of the samples a decoder gives: 16, 24, 32; 0 for floating point."""
    name = context.format.name if context.format is not None else "s16"
    if name.startswith(("flt", "dbl")):
        return 0
    if name.startswith(("s32", "s64")):
        return 24 if _UP_TO_24.fullmatch(context.name) else 32
    return 16


def _fits(format_name: str, source: Any, codec: str, sample_format: str) -> bool:
    """Whether the format can hold it, tried on a file that is thrown away."""
    if holds_unreadably(format_name, codec):
        return False
    trial = av.open(io.BytesIO(), "w", format=format_name)
    try:
        _add_encoder(trial, source, codec, sample_format)
        trial.start_encoding()
    except (av.error.FFmpegError, ValueError, OSError):  # av.error's UnknownCodecError is a ValueError
        return False
    finally:
        try:
            trial.close()
        except (av.error.FFmpegError, ValueError, OSError):
            log.debug("a trial header could not be closed", exc_info=True)
    return True


def _add_encoder(container: OutputContainer, source: Any, codec: str, sample_format: str) -> Any:
    rate = int(source.codec_context.sample_rate)
    stream: Any = container.add_stream(cast(Any, codec), rate=48000 if codec == "libopus" else rate)
    context = stream.codec_context
    context.layout = _layout(source)
    if sample_format:
        context.format = sample_format
    else:
        context.bit_rate = _LOSSY_RATE * context.layout.nb_channels
    context.time_base = Fraction(1, context.sample_rate)
    return stream


def _layout(source: Any) -> str:
    """Of the source; the usual one for its number of channels where it does not say."""
    layout = source.codec_context.layout
    name = str(layout.name)
    return name if "channels" not in name else _LAYOUTS.get(layout.nb_channels, name)


def _decoder(source: Any) -> Any:
    """The decoder of an input's stream; a new one for a stream that outlived its input."""
    context = source.codec_context
    if not context.is_encoder and context.is_decoder and hasattr(source.container, "demux"):
        if not context.is_open and "channels" in context.layout.name:
            context.layout = _layout(source)
        return context
    decoder: Any = av.CodecContext.create(context.name, "r")
    decoder.extradata = context.extradata
    decoder.sample_rate, decoder.layout = context.sample_rate, _layout(source)
    return decoder
