"""Tracks that are copied as they are: which ones a container can hold, and their packets."""

from __future__ import annotations

import io
import logging
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import av
from av.container import OutputContainer

from malle_rt.media.compat import add_copy
from malle_rt.media.opening import is_attached_picture, is_path

# What holds nearly everything, and what holds what that cannot.
_ALTERNATIVES = (("matroska", ".mkv"), ("mov", ".mov"))

# Codecs of cover pictures, and the extension of a file of each.
_COVERS = {"mjpeg": "jpg", "png": "png", "bmp": "bmp"}

__all__ = ["CarriedTrack", "add_carried", "clean_metadata", "copy_labels", "is_mov"]

log = logging.getLogger(__name__)

# Written by the muxer that made the input; wrong in a new file.
_STALE = (
    "encoder",
    "duration",
    "bps",
    "number_of_frames",
    "number_of_bytes",
    "_statistics",
    "rotate",
    "vendor_id",
)


def is_mov(container: OutputContainer) -> bool:
    """Whether the format is MP4 or one of its family."""
    return container.format.name in ("mp4", "mov", "ipod")


def add_carried(container: OutputContainer, source: Any) -> CarriedTrack | None:
    """Add a copy of a source's stream to an output, or say in the log that its format cannot hold it.

    Args:
        container: the output.
        source: a stream of the input.
    """
    if source.type == "data" and is_mov(container):
        # Their descriptions do not survive copying; what players need of them, the muxer writes itself.
        log.info("track %d, data, is left out; chapters and timecode are written anew", source.index)
        return None
    if (
        is_attached_picture(source)
        and container.format.name == "matroska"
        and _attach_cover(container, source)
    ):
        return None
    if not _fits(container.format.name, source):
        codec = source.codec_context.name if source.codec_context is not None else "unknown codec"
        hint = next((f"; {suffix} files can" for name, suffix in _ALTERNATIVES if _fits(name, source)), "")
        log.warning(
            "track %d, %s (%s), is left out: %s files cannot hold it%s",
            source.index,
            source.type,
            codec,
            container.format.name,
            hint,
        )
        return None
    stream = add_copy(container, source)
    copy_labels(source, stream)
    # Only edit lists can hold packets that are decoded and not shown, such as the start-up of an AAC track.
    return CarriedTrack(stream, keeps_hidden=is_mov(container))


def copy_labels(source: Any, stream: Any) -> None:
    """Language, title, and so on; and what a player should do with the track."""
    stream.metadata.update(clean_metadata(source.metadata))
    stream.disposition = source.disposition


def clean_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """Metadata without what only described the input file."""
    return {key: value for key, value in metadata.items() if not key.lower().startswith(_STALE)}


class CarriedTrack:
    """One copied track of an output."""

    def __init__(self, stream: Any, *, keeps_hidden: bool) -> None:
        self._keeps_hidden = keeps_hidden
        self._stream = stream
        self._last: int | None = None

    def prepare(self, packet: av.Packet[Any], shift: Fraction) -> bool:
        """Make a source's packet one of this track, ``shift`` seconds earlier; False if it cannot be written.

        Hidden packets lie before 0; a format without edit lists would move all tracks to make room for them.
        Muxers refuse decoding times that go back, so these are moved up, as FFmpeg's own program does.
        """
        if packet.is_discard and not self._keeps_hidden:
            return False
        ticks = round(shift / Fraction(packet.time_base)) if shift and packet.time_base else 0
        dts = packet.dts if packet.dts is not None else packet.pts
        if dts is None:
            dts = ticks + (0 if self._last is None else self._last + 1)
        dts -= ticks
        if self._last is not None and dts <= self._last:
            dts = self._last + 1
        pts = dts if packet.pts is None else max(packet.pts - ticks, dts)
        self._last = dts
        packet.pts, packet.dts = pts, dts
        packet.stream = self._stream
        return True


def _attach_cover(container: OutputContainer, source: Any) -> bool:
    """Matroska keeps cover pictures as attached files; False where that is not possible."""
    suffix = _COVERS.get(source.codec_context.name) if source.codec_context is not None else None
    if suffix is None:
        return False
    data = _first_packet(source)
    if data is not None:
        container.add_attachment(f"cover.{suffix}", f"image/{suffix.replace('jpg', 'jpeg')}", data)
    return data is not None


def _first_packet(source: Any) -> bytes | None:
    """What a stream holds, read from the file opened once more: headers are written before the first packet comes."""
    if not is_path(source.container.name):
        return None
    try:
        with av.open(source.container.name, "r", metadata_errors="replace") as again:
            packets = again.demux(again.streams[source.index])
            return next((bytes(packet) for packet in packets if packet.size), None)
    except (av.error.FFmpegError, OSError):
        return None


def _fits(format_name: str, source: Any) -> bool:
    """Whether the format can hold the stream, tried on a header that is thrown away."""
    trial = av.open(io.BytesIO(), "w", format=format_name)
    try:
        add_copy(trial, source)
        trial.start_encoding()
    except (av.error.FFmpegError, ValueError, AttributeError, TypeError, OSError):
        return False
    finally:
        _close_quietly(trial)
    return True


def _close_quietly(trial: OutputContainer) -> None:
    try:
        trial.close()
    except (av.error.FFmpegError, ValueError, OSError):
        log.debug("a trial header could not be closed", exc_info=True)
