"""Text subtitles that a container cannot hold as they are: written in the way that it knows."""

from __future__ import annotations

import logging
from fractions import Fraction
from typing import Any, cast

import av
from av.container import OutputContainer

from malle_rt.media.compat import exact

__all__ = ["ConvertedText", "loses_text", "text_for"]

log = logging.getLogger(__name__)

_TEXTS = frozenset({"mov_text", "subrip", "srt", "ass", "ssa", "webvtt", "text"})
_BY_FORMAT = {
    "mp4": "mov_text",
    "mov": "mov_text",
    "ipod": "mov_text",
    "matroska": "subrip",
    "webm": "webvtt",
}
# Their muxers take the packets of any text, which is then read as something else.
_WITHOUT_TEXT = frozenset({"mpegts", "mpeg", "vob", "dvd", "svcd", "vcd"})


def loses_text(format_name: str, codec: str) -> bool:
    """Whether the muxer takes subtitles of the codec, but what it writes cannot be read as such."""
    return format_name in _WITHOUT_TEXT and codec in _TEXTS


def text_for(format_name: str, source: Any) -> str | None:
    """The encoder of text for a container format; None for pictures of text, and where there is none."""
    context = source.codec_context
    return _BY_FORMAT.get(format_name) if context is not None and context.name in _TEXTS else None


class ConvertedText:
    """One track of text, decoded and encoded anew."""

    def __init__(self, container: OutputContainer, source: Any, codec: str) -> None:
        """Add the track.

        Args:
            container: the output.
            source: a stream of the input.
            codec: of ``text_for``.

        Raises:
            FFmpegError, ValueError: the text cannot be converted here.
        """
        self._decoder = source.codec_context
        self._decoder.open(strict=False)
        self.stream: Any = container.add_stream(cast(Any, codec))
        self._encoder = self.stream.codec_context
        self._encoder.subtitle_header = self._decoder.subtitle_header
        self._encoder.time_base = Fraction(1, 1000)
        self._encoder.open(strict=False)
        self._last = Fraction(0)

    def packets(self, packet: av.Packet[Any], shift: Fraction) -> list[av.Packet[Any]]:
        """The packet as one of this track, ``shift`` seconds earlier; none for an empty one, which fills a gap."""
        if packet.pts is None or not packet.size:
            return []
        unit = exact(packet.time_base)
        try:
            found = self._decoder.decode2(packet)
            made = self._encoder.encode_subtitle(found) if found is not None and len(found) else None
        except MemoryError:
            raise
        except (av.error.FFmpegError, ValueError) as exc:
            log.warning("a subtitle at %.1f s cannot be converted (%s)", float(packet.pts * unit), exc)
            return []
        if made is None or not made.size:
            return []
        # Milliseconds, as players of text have them.
        self._last = max(self._last, packet.pts * unit - shift)
        made.time_base = Fraction(1, 1000)
        made.pts = made.dts = round(self._last * 1000)
        made.duration = round((packet.duration or 0) * unit * 1000)
        made.stream = self.stream
        return [made]

    def flush(self) -> list[av.Packet[Any]]:
        """Nothing is held."""
        return []
