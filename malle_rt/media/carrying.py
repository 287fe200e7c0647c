"""Tracks that are copied as they are: which ones a container can hold, and their packets."""

from __future__ import annotations

import io
import logging
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Protocol, cast

import av
from av.bitstream import BitStreamFilterContext
from av.container import OutputContainer
from av.format import Flags

from malle_rt.media.compat import add_copy, exact
from malle_rt.media.languages import known_language
from malle_rt.media.late_tracks import is_unknown
from malle_rt.media.opening import is_attached_picture, is_path, open_file
from malle_rt.media.sound import ConvertedSound, holds_unreadably, sound_for
from malle_rt.media.text_track import ConvertedText, loses_text, text_for

# What holds nearly everything, and what holds what that cannot.
_ALTERNATIVES = (("matroska", ".mkv"), ("mov", ".mov"))

# Numbers of AAC: its plainest kind, sample rates by their index, and channels.
_AAC_LC = 2
_AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
_AAC_CHANNELS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 8: 7}
# Muxers beside MP4's that store AAC without a header before each frame.
_AAC_BARE = ("matroska", "flv")
_NO_LANGUAGE = "und"
_EMPTY_STSD = 16  # bytes of the box: its size, name, version and number of entries

# Codecs of cover pictures, and the extension of a file of each.
_COVERS = {"mjpeg": "jpg", "png": "png", "bmp": "bmp"}

__all__ = [
    "CarriedTrack",
    "Track",
    "aac_description",
    "add_carried",
    "clean_metadata",
    "copy_labels",
    "is_bare_aac",
    "is_mov",
]

log = logging.getLogger(__name__)

# Written by the muxer that made the input; wrong in a new file.
_STALE = (
    "encoder",
    "encoding_tool",
    "malle_rt",
    "duration",
    "bps",
    "number_of_frames",
    "number_of_bytes",
    "_statistics",
    "rotate",
    "vendor_id",
)


class Track(Protocol):
    """One track of an output that is not the encoded picture."""

    def packets(self, packet: av.Packet[Any], shift: Fraction) -> list[av.Packet[Any]]:
        """What is to be written for a packet of the source, ``shift`` seconds earlier."""

    def flush(self) -> list[av.Packet[Any]]:
        """What is still held, at the end."""


def is_mov(container: OutputContainer) -> bool:
    """Whether the format is MP4 or one of its family."""
    return container.format.name in ("mp4", "mov", "ipod")


def add_carried(container: OutputContainer, source: Any, number: int) -> Track | None:
    """Add a copy of a source's stream to an output, converted where its format cannot hold it; the log says so.

    Args:
        container: the output.
        source: a stream of the input, or one with the parameters of it.
        number: of the track in messages.
    """
    if is_unknown(source):
        log.warning(
            "track %d, audio (%s), is left out: the beginning of the input does not show its format. Give a file "
            "that has it, not a pipe or address",
            number,
            source.codec_context.name,
        )
        return None
    if source.type == "data" and is_mov(container) and not _is_described(container.format.name, source):
        # Chapters and timecode, the muxer writes itself.
        known = "timecode" in source.metadata or bool(source.container.chapters())
        log.log(
            logging.INFO if known else logging.WARNING,
            "track %d, data, is left out: FFmpeg cannot write into %s files what it is. Keep the input for it",
            number,
            container.format.name,
        )
        return None
    if (
        is_attached_picture(source)
        and container.format.name == "matroska"
        and _attach_cover(container, source)
    ):
        return None
    if not _fits(container.format.name, source):
        codec = source.codec_context.name if source.codec_context is not None else "unknown codec"
        if source.type == "audio" and (sound := _converted_sound(container, source, number)) is not None:
            return sound
        if source.type == "subtitle" and (text := _converted_text(container, source, number)) is not None:
            return text
        hint = next(
            (
                f"; {suffix} files can"
                for name, suffix in _ALTERNATIVES
                if (_fits(name, source) if source.type != "data" else _holds_data(name, source))
            ),
            "",
        )
        log.warning(
            "track %d, %s (%s), is left out: %s files cannot hold it%s",
            number,
            source.type,
            codec,
            container.format.name,
            hint,
        )
        return None
    stream = add_copy(container, source)
    copy_labels(source, stream)
    # Only edit lists can hold packets that are decoded and not shown, such as the start-up of an AAC track.
    return CarriedTrack(stream, source, container)


def _converted_sound(container: OutputContainer, source: Any, number: int) -> Track | None:
    choice = sound_for(container.format.name, source) if source.codec_context is not None else None
    if choice is None:
        return None
    track = ConvertedSound(container, source, *choice)
    copy_labels(source, track.stream)
    log.warning(
        "track %d, %s sound: %s files cannot hold it; it is converted to %s %s",
        number,
        source.codec_context.name,
        container.format.name,
        choice[0],
        "without loss" if track.lossless else "(nothing it can hold keeps every bit)",
    )
    return track


def copy_labels(source: Any, stream: Any) -> None:
    """Language, title, and so on; and what a player should do with the track."""
    labels = clean_metadata(source.metadata)
    language, container = labels.get("language", _NO_LANGUAGE), stream.container
    if language != _NO_LANGUAGE and is_mov(container):
        known = known_language(container.format.name, language)
        if known is None:
            log.warning(
                "%s files have no name for the language %r: its track is not labelled",
                container.format.name,
                language,
            )
        labels["language"] = known or _NO_LANGUAGE
    stream.metadata.update(labels)
    stream.disposition = source.disposition


def clean_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """Metadata without what only described the input file."""
    return {key: value for key, value in metadata.items() if not key.lower().startswith(_STALE)}


def _converted_text(container: OutputContainer, source: Any, number: int) -> Track | None:
    codec = text_for(container.format.name, source)
    if codec is None:
        return None
    try:
        track = ConvertedText(container, source, codec)
    except (av.error.FFmpegError, ValueError) as exc:
        log.debug("text of track %d cannot be converted (%s)", number, exc)
        return None
    copy_labels(source, track.stream)
    log.warning(
        "track %d, %s subtitles: %s files cannot hold them; they are converted to %s",
        number,
        source.codec_context.name,
        container.format.name,
        codec,
    )
    return track


class CarriedTrack:
    """One copied track of an output."""

    def __init__(self, stream: Any, source: Any, container: OutputContainer) -> None:
        """``stream`` is the copy of ``source`` in the output ``container``."""
        self._keeps_hidden = is_mov(container)
        self._stream = stream
        self._last: int | None = None
        self._unit: Fraction | None = None
        lenient = container.format.flags & cast(int, Flags.ts_nonstrict.value)
        self._step = 0 if lenient or source.type in ("subtitle", "data") else 1
        self._reframe: BitStreamFilterContext | None = None
        self._headed = self._warned = (
            False  # whether packets begin with a header; whether a broken one was said
        )
        stores_bare = self._keeps_hidden or container.format.name in _AAC_BARE
        if stores_bare and source.type == "audio" and is_bare_aac(source):
            # Matroska takes it from the first packet.
            if self._keeps_hidden and (description := aac_description(source)) is not None:
                stream.codec_context.extradata = description
            self._reframe = BitStreamFilterContext("aac_adtstoasc", source)

    def packets(self, packet: av.Packet[Any], shift: Fraction) -> list[av.Packet[Any]]:
        """The packet as one of this track, ``shift`` seconds earlier; nothing if it cannot be written.

        Hidden packets lie before 0; a format without edit lists would move all tracks to make room for them.
        Muxers refuse decoding times that go back, so these are moved up, as FFmpeg's own program does: by a tick of
        the output's clock, which may be coarser than the source's.
        """
        if packet.is_discard and not self._keeps_hidden:
            return []
        self._place(packet, shift)
        if self._reframe is not None and _has_adts_header(packet):
            self._headed = True
            return self._reframed(packet, self._reframe)
        if self._headed:
            return self._broken()
        packet.stream = self._stream
        return [packet]

    def flush(self) -> list[av.Packet[Any]]:
        """Nothing is held."""
        return []

    def _place(self, packet: av.Packet[Any], shift: Fraction) -> None:
        """Set the packet's times on the output's clock."""
        unit = exact(self._stream.time_base or packet.time_base or 1)
        source_unit = exact(packet.time_base or unit)
        if self._last is not None and self._unit is not None and unit != self._unit:
            self._last = round(self._last * self._unit / unit)  # the header has settled the clock meanwhile
        self._unit = unit

        def ticks(value: int) -> int:
            return round((value * source_unit - shift) / unit)

        found = packet.dts if packet.dts is not None else packet.pts
        dts = ticks(found) if found is not None else None
        if self._last is not None and (dts is None or dts < self._last + self._step):
            dts = self._last + (self._step if dts is not None else 1)
        self._last = dts = 0 if dts is None else dts
        packet.pts = dts if packet.pts is None else max(ticks(packet.pts), dts)
        packet.dts = dts
        packet.duration = round((packet.duration or 0) * source_unit / unit)
        packet.time_base = unit

    def _reframed(self, packet: av.Packet[Any], reframe: BitStreamFilterContext) -> list[av.Packet[Any]]:
        """AAC as MP4 stores it: without the header before each frame, which only streams need."""
        unit = packet.time_base
        try:
            made = reframe.filter(packet)
        except av.error.InvalidDataError:  # the muxer's own filter would end the whole file here
            return self._broken()
        for bare in made:
            bare.time_base, bare.stream = unit, self._stream
        return made

    def _broken(self) -> list[av.Packet[Any]]:
        if not self._warned:
            log.warning("damaged AAC sound, as lost packets leave it, is skipped; said once")
        self._warned = True
        return []


def is_bare_aac(source: Any) -> bool:
    """Whether the source is AAC that says in each packet what it is, as in MPEG-TS, and not once for all."""
    context = source.codec_context
    return context is not None and context.name == "aac" and not context.extradata


def aac_description(source: Any) -> bytes | None:
    """What MP4 says of such AAC once for all (AudioSpecificConfig); None where only its packets tell.

    With it, the header needs to wait for no packet of the track, which may begin later.
    """
    context = source.codec_context
    channels = _AAC_CHANNELS.get(context.layout.nb_channels)
    if context.profile != "LC" or context.sample_rate not in _AAC_RATES or channels is None:
        return None
    # 5 bits of the kind, 4 of the rate, 4 of the channels, 3 that are 0.
    return (_AAC_LC << 11 | _AAC_RATES.index(context.sample_rate) << 7 | channels << 3).to_bytes(2, "big")


def _has_adts_header(packet: av.Packet[Any]) -> bool:
    head = bytes(packet)[:2]
    return len(head) == 2 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0


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
        with open_file(source.container.name) as again:
            packets = again.demux(again.streams[source.index])
            return next((bytes(packet) for packet in packets if packet.size), None)
    except (av.error.FFmpegError, OSError):
        return None


def _fits(format_name: str, source: Any) -> bool:
    """Whether the format can hold the stream, tried on a header that is thrown away."""
    unreadable = {"audio": holds_unreadably, "subtitle": loses_text}.get(source.type)
    if unreadable and source.codec_context is not None and unreadable(format_name, source.codec_context.name):
        return False
    trial = av.open(io.BytesIO(), "w", format=format_name)
    try:
        if format_name == "mxf":  # its first track must be a picture
            picture = trial.add_stream("mpeg2video", rate=25)
            picture.codec_context.time_base = Fraction(1, 25)
        add_copy(trial, source)
        trial.start_encoding()
    except (av.error.FFmpegError, ValueError, AttributeError, TypeError, OSError):
        return False
    finally:
        _close_quietly(trial)
    return True


def _holds_data(format_name: str, source: Any) -> bool:
    return format_name == "mov" and _is_described(format_name, source)


def _is_described(format_name: str, source: Any) -> bool:
    """Whether MP4 or MOV says what a data track holds, such as telemetry: else nothing could read it.

    FFmpeg's muxer takes packets of most kinds, and writes an empty sample description ("stsd") for those it does not
    know.
    """
    file = io.BytesIO()
    trial = av.open(file, "w", format=format_name)
    try:
        packet: av.Packet[Any] = av.Packet(b"\0" * 8)
        packet.stream = add_copy(trial, source)
        packet.pts = packet.dts = 0
        packet.duration = 1
        trial.mux(packet)
        trial.close()
    except (av.error.FFmpegError, ValueError, AttributeError, TypeError, OSError):
        return False
    finally:
        _close_quietly(trial)
    size, found, _ = file.getvalue().partition(b"stsd")
    return bool(found) and int.from_bytes(size[-4:], "big") > _EMPTY_STSD


def _close_quietly(trial: OutputContainer) -> None:
    try:
        trial.close()
    except (av.error.FFmpegError, ValueError, OSError):
        log.debug("a trial header could not be closed", exc_info=True)
