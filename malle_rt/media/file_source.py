"""Read a video file or network stream: demux, decode, and hand on everything in the container's order."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import av
from av.container import InputContainer

from malle_rt.errors import ConfigError, SourceError
from malle_rt.frame import ColorTags, Frame, Packet, Surface, VideoInfo
from malle_rt.media.compat import exact
from malle_rt.media.conversion import color_tags, planes_of
from malle_rt.media.deinterlace import Deinterlace, Deinterlacer
from malle_rt.media.demux import Silence, VideoInput, transparent_decoder
from malle_rt.media.hardware import (
    NotOnGpu,
    in_memory,
    open_on_gpu,
    pixel_name,
    require_on_gpu,
    surface_of,
)
from malle_rt.media.interlacing import FieldOrder, FieldReader
from malle_rt.media.late_tracks import LateTracks
from malle_rt.media.losses import Losses
from malle_rt.media.opening import (
    INDEX_BEHIND,
    check_file,
    is_path,
    is_pipe,
    is_url,
    main_video,
    open_input,
    plain_location,
)
from malle_rt.media.pipe_input import PipeInput
from malle_rt.media.pixel_formats import nearest_planar
from malle_rt.media.sequences import (
    DEFAULT_RATE,
    OpenSequence,
    PictureSequence,
    find_sequence,
    is_sequence,
)
from malle_rt.media.side_data import has_captions
from malle_rt.media.template import Template, describe
from malle_rt.media.timeline import FrameClock, has_joins
from malle_rt.media.window import Window, instant_of
from malle_rt.shown import shown_address

__all__ = ["FileSource"]

log = logging.getLogger(__name__)

_AV_TIME_BASE = 1_000_000
# Broadcast streams have no index: seeking may land between keyframes, so it aims this many seconds earlier.
_SEEK_MARGIN = Fraction(12)
# By this the streams of one variant of an HLS play list are known.
_VARIANT = "variant_bitrate"
_FASTEST = 1000  # pictures a second
# UDP does not wait for who reads it.
_LOST = (
    "packets were lost on the way, {} are cut or follow a gap; where denoising is slower than the stream, record it "
    "first (ffmpeg -i ADDRESS -c copy FILE.ts)"
)
# Places of a broadcast at which it is looked for interlaced pictures.
_PLACES = 12


class FileSource:
    """A video file (or URL) as frames of its main video track and packets of all others.

    The first frame is decoded on opening: only then are the format, the rotation and the HDR data certain.
    A picture whose size or format changes on the way comes with its own size and format; the sink deals with it.

    Attributes:
        corrupt_packets: damaged packets skipped so far.
        already: packets and pictures that were found damaged before this source's part, by whoever read those.
        beginning: where the video begins on the container's clock, in seconds; ``start`` counts from there.
        template: what a sink needs to write a file like this one.
        sequence: the pictures, where the input is a pattern of such.
        rate: pictures a second of a sequence.
        not_on_gpu: why frames are in host memory although a GPU was named, one line; None where they are not,
            or none was named.
    """

    def __init__(
        self,
        location: str | os.PathLike[str],
        *,
        start: Fraction | None = None,
        duration: Fraction | None = None,
        carry_other_streams: bool = True,
        strict: bool = False,
        gpu: int | None = None,
        deinterlace: Deinterlace | None = None,
        frame_rate: Fraction | None = None,
    ) -> None:
        """Open the input.

        Args:
            location: path or URL; "-" is standard input; a pattern of pictures, such as ``frame_%04d.png`` or
                ``*.png``.
            start: seconds from the beginning; frames before are discarded, and all timestamps move so that the
                first frame is at 0. None: timestamps stay as they are.
            duration: seconds wanted from there; None: all.
            carry_other_streams: whether packets of audio, subtitles, data and further video tracks are handed on.
            strict: whether damage, or an end that comes too soon, is an error.
            gpu: number of the NVIDIA GPU that should decode, and leave the planes in its memory as a ``Surface``.
                Where that cannot be, ``not_on_gpu`` says why, and frames come from the processor as without it.
            deinterlace: "field" makes a frame of each field, "frame" one of each interlaced picture; None leaves
                them interlaced.
            frame_rate: pictures a second of a sequence; None: 25.

        Raises:
            ConfigError: a negative start, a duration that is not positive, a frame rate for a video.
            SourceError: it cannot be opened, or holds no frame that can be decoded.
        """
        self.already = (0, 0)
        self._location = plain_location(location)
        self._shown = shown_address(self._location)
        self._links: OpenSequence | None = None
        self.sequence: PictureSequence | None = (
            find_sequence(self._location) if is_sequence(self._location) else None
        )
        if frame_rate is not None and self.sequence is None:
            raise ConfigError(
                "a frame rate is for a sequence of pictures; a video's frames have their own times"
            )
        if frame_rate is not None and not 0 < frame_rate <= _FASTEST:
            raise ConfigError(f"the frame rate must be more than 0 and at most {_FASTEST}, got {frame_rate}")
        self.rate = frame_rate or DEFAULT_RATE
        self._carry = carry_other_streams
        self._strict = strict
        self._at_end = self._packets_only = self._silent = False
        self._pipe = PipeInput()
        self._deinterlace = deinterlace
        self._items: Iterator[Frame | Packet] = iter(())
        self._closed = True
        self._first: av.VideoFrame | None = None
        self._late: LateTracks | None = None
        self.not_on_gpu: str | None = self._try_gpu(gpu, start, duration) if gpu is not None else None
        if gpu is not None and self.not_on_gpu is None:
            return
        if self.sequence is not None:
            self._links = OpenSequence(self.sequence, self.rate)
            self._container = self._links.container
        else:
            self._container = open_input(self._location, self._pipe)
        self._start(start, duration)

    template: Template

    @property
    def info(self) -> VideoInfo:
        """What is known of the video track."""
        return self.template.info

    @property
    def surface(self) -> Surface | None:
        """The first picture, if it lies on a GPU, to try an encoder with; None once frames are read."""
        planes = next((item.planes for item in self._primed if isinstance(item, Frame)), None)
        return planes if isinstance(planes, Surface) else None

    @property
    def corrupt_packets(self) -> int:
        """Damaged packets skipped so far."""
        return self.already[0] + self._input.corrupt_packets

    @property
    def damaged_frames(self) -> int:
        """Pictures so far that the decoder could not restore wholly."""
        return self.already[1] + self._losses.damaged

    @property
    def losses(self) -> tuple[str, ...]:
        """What the input lacked, a line each; known once everything has been read."""
        found = []
        if self.corrupt_packets:
            found.append(f"corrupt packets in the input were skipped: {self.corrupt_packets}")
        if self.damaged_frames:
            found.append(f"frames of the input are damaged: {self.damaged_frames}")
        # In a file, this is how recordings are joined.
        if self._losses.corrupt and self._location.lower().startswith("udp"):
            found.append(_LOST.format(self._losses.corrupt))
        if self._silent:
            found.append("the input stopped in the middle: nothing came any more, what came before is kept")
        missing = self._losses.missing(whole=not self._window.has_start) if self._at_end else None
        return (*found, missing) if missing else tuple(found)

    @property
    def repaired_timestamps(self) -> int:
        """Frames that came without a usable pts so far."""
        return self._clock.repaired

    def __iter__(self) -> Iterator[Frame | Packet]:
        """Frames and packets, once. The planes are views of the decoder's memory, valid as long as they are kept."""
        yield from self._primed
        self._primed.clear()
        yield from self._items

    def packets(self) -> Iterator[Packet]:
        """All packets and no frames, instead of iterating: those of the carried tracks, and the video's for their time.

        Only the first picture has been decoded.
        """
        self._packets_only = True
        primed = [item for item in self._primed if isinstance(item, Packet)]
        self._primed.clear()
        yield from primed
        for item in self._items:
            if isinstance(item, Packet):
                yield item

    def interrupt(self) -> None:
        """Let a read that waits on a pipe come back; one that waits on the network has its own time limit."""
        self._pipe.stop()

    def close(self) -> None:
        """Release the input. May be called twice, but not while another thread reads."""
        if not self._closed:
            self._closed = True
            # The reading generator refers to this source: without an end it would keep pictures until the next
            # garbage collection, which counts objects and not the megabytes behind them.
            self._items = iter(())
            self._container.close()
            self._pipe.close()
            if self._links is not None:
                self._links.close()
            if self._late is not None:
                self._late.close()

    def _try_gpu(self, gpu: int, start: Fraction | None, duration: Fraction | None) -> str | None:
        """Open on the GPU and decode a picture there; the reason where that fails, and nothing stays open."""
        if self._deinterlace is not None:
            return "deinterlacing works in host memory"
        if not is_path(self._location):
            return "a file is opened twice where the GPU fails, this input cannot be"
        check_file(self._location)
        try:
            self._container = open_on_gpu(self._location, gpu)
            self._start(start, duration, on_gpu=True)
        except NotOnGpu as exc:
            return str(exc)
        except SourceError as exc:
            return f"NVDEC gives no picture ({exc})"
        return None

    def _start(self, start: Fraction | None, duration: Fraction | None, *, on_gpu: bool = False) -> None:
        self._closed = False
        self._on_gpu = on_gpu
        try:
            self._open(start, duration)
        except BaseException:
            self.close()
            raise

    def _open(self, start: Fraction | None, duration: Fraction | None) -> None:
        container = self._container
        video = self._video = main_video(container, self._location)
        # On a GPU, threads gain nothing, and each one takes a surface of the decoder, which has 32.
        video.codec_context.thread_type = "SLICE" if is_url(self._location) or self._on_gpu else "AUTO"
        decoder = transparent_decoder(video) if self._carry else None
        if decoder is not None and self._on_gpu:
            raise NotOnGpu("the video has transparency, which NVDEC does not decode")
        self._input = VideoInput(container, video, self._shown, decoder)
        self.beginning = _beginning(container, video)
        self._window = Window(start, duration, self.beginning)
        self._losses = Losses(container, video)
        unit = exact(video.time_base or 1)
        self._clock = FrameClock(self._input.frame_ticks, round(self.beginning / unit))
        self._color: ColorTags | None = None
        self._field_reader = FieldReader()
        self._deinterlacer = Deinterlacer(self._deinterlace) if self._deinterlace is not None else None
        self._interlaced = False  # the first picture, as decoded
        self._lost_captions = False
        others = _others(container, video) if self._carry else ()
        self._carried = {stream.index for stream in others}
        if self._window.has_start:
            self._seek()
        self._items = self._read()
        self._primed, first = self._prime()
        if self._on_gpu:
            require_on_gpu(first, video.codec_context)
        self.template = describe(
            self._location, container, video, first, self._color or ColorTags(), self._window, others
        )
        if self._carry:
            self._late = LateTracks(container, self._location, self._shown)
            self.template = replace(self.template, late=self._late.found)
        if self._deinterlacer is None and self.template.fields is None and self._may_change():
            self.template = replace(self.template, fields=self._later_fields())
        if self._deinterlacer is not None:
            info = self._deinterlacer.described(self.template.info, interlaced=self._interlaced)
            # The first picture has been deinterlaced: the template has its time_base already.
            info = replace(info, time_base=self.template.info.time_base)
            self.template = replace(self.template, info=info)

    def _may_change(self) -> bool:
        """Whether a video that begins progressive may become interlaced, as recordings of broadcasts do."""
        joined = has_joins(self._container.format) and not self._on_gpu
        return joined and is_path(self._location) and not is_pipe(self._location)

    def _later_fields(self) -> FieldOrder | None:
        """Field order of the first interlaced picture that is found at a few places of the file; None: there is none.

        An encoder must know before the first picture. Between the places a short interlaced part can be missed.
        """
        with open_input(self._location, PipeInput()) as container:
            video = main_video(container, self._location)
            begin, length = _beginning(container, video), Fraction(container.duration or 0, _AV_TIME_BASE)
            for place in range(1, _PLACES + 1):
                instant = begin + length * place / (_PLACES + 1)
                try:
                    container.seek(int(instant * _AV_TIME_BASE))
                    picture = next(container.decode(video), None)
                except (av.error.FFmpegError, OSError):
                    continue
                if picture is not None and picture.interlaced_frame:
                    return FieldReader().order(picture)
        return None

    def _seek(self) -> None:
        broadcast = has_joins(self._container.format)
        target = self._window.begin - (_SEEK_MARGIN if broadcast else 0)
        unit = exact(self._video.time_base or Fraction(1, _AV_TIME_BASE))
        try:
            self._container.seek(int(target / unit), stream=self._video, backward=True)
        except (av.error.FFmpegError, OSError) as exc:
            log.info("%s: cannot seek (%s); reading from the beginning", self._shown, exc)

    def _prime(self) -> tuple[list[Frame | Packet], av.VideoFrame]:
        """Items up to and including the first frame, and the decoder's picture of that frame."""
        primed: list[Frame | Packet] = []
        for item in self._items:
            primed.append(item)
            if isinstance(item, Frame) and self._first is not None:
                first, self._first = self._first, None
                return primed, first
        if self._window.has_start:
            raise SourceError(f"{self._shown}: no frame in the part asked for. Choose an earlier start")
        if self._pipe.is_mp4:
            raise SourceError(f"{self._shown}: {INDEX_BEHIND}")
        raise SourceError(f"{self._shown}: no frame could be decoded; the video track is damaged or empty")

    def _read(self) -> Iterator[Frame | Packet]:
        """All wanted items. Packets before the first frame wait for it where a start was asked for."""
        held: list[av.Packet[Any]] | None = [] if self._window.has_start else None
        for item in self._progressive() if self._deinterlacer is not None else self._decoded():
            if isinstance(item, av.VideoFrame):
                frame = self._to_frame(item)
                if frame is None:
                    continue
                yield from self._release(held or [])
                held = None
                yield frame
            elif held is not None:
                held.append(item)
            else:
                yield from self._release([item])

    def _progressive(self) -> Iterator[av.VideoFrame | av.Packet[Any]]:
        """As ``_decoded``, deinterlaced."""
        assert self._deinterlacer is not None
        seen = False
        for item in self._decoded():
            if not isinstance(item, av.VideoFrame):
                yield item
                continue
            if not seen:
                seen, self._interlaced = True, bool(item.interlaced_frame)
            item.pts = self._clock.stamp(self._input.timestamp(item), item.duration)
            item.time_base = self._input.unit(item)  # the last ones have none
            yield from self._deinterlacer.pictures(item)
        yield from self._deinterlacer.drain()

    def _decoded(self) -> Iterator[av.VideoFrame | av.Packet[Any]]:
        """Decoded pictures, and packets of the carried tracks."""
        self._at_end = False
        announced = self._pipe.announced.tracks
        known = {stream.id for stream in self._container.streams} | set(announced)
        for packet in self._until_silence():
            if self._carry and announced.keys() - known:
                self._tell_late(known, packet)
            if packet.stream_index == self._video.index:
                instant = instant_of(packet)
                if instant is not None and self._window.exhausted(instant):
                    break
                if self._packets_only:
                    yield packet
                else:
                    yield from self._watched(self._input.decode(packet))
            elif packet.stream_index in self._carried:
                yield packet
        else:
            self._at_end = not self._pipe.stopped
        if not self._packets_only:
            yield from self._watched(self._input.drain())
            self._refuse_losses()

    def _until_silence(self) -> Iterator[av.Packet[Any]]:
        """All packets. A stream that stops once there are pictures has ended there."""
        try:
            yield from self._input.packets(self._losses.packet)
        except Silence:
            if not self._losses.pictures:
                raise
            self._silent = True

    def _tell_late(self, known: set[int], packet: av.Packet[Any]) -> None:
        """Warn of tracks that what comes once announces only now: outputs have their tracks already."""
        for number, kind in self._pipe.announced.tracks.items():
            if number not in known:
                known.add(number)
                log.warning(
                    "%s: a track of %s (id %#x) that begins at about %.0f s is left out: what comes only once "
                    "is looked at once. Save it as a file first, to have it",
                    self._shown,
                    kind,
                    number,
                    float(instant_of(packet) or 0),
                )

    def _watched(self, pictures: Iterable[av.VideoFrame]) -> Iterator[av.VideoFrame]:
        for picture in pictures:
            self._losses.picture(picture)
            self._refuse_losses()
            yield picture

    def _refuse_losses(self) -> None:
        if self._strict and (losses := self.losses):
            hint = "Leave out strict=True to keep what is there"
            raise SourceError(f"{self._shown}: {'; '.join(losses)}", hint=hint)

    def _release(self, packets: list[av.Packet[Any]]) -> Iterator[Packet]:
        for packet in packets:
            if self._window.holds(instant_of(packet)):
                self._window.move(packet)
                yield Packet(packet, packet.stream_index)

    def _to_frame(self, picture: av.VideoFrame) -> Frame | None:
        """The picture as a frame, or None where it is outside the window."""
        unit = self._input.unit(picture)
        found = self._input.timestamp(picture) if self._deinterlacer is None else picture.pts
        if found is not None and not self._window.holds(found * unit):
            return None
        # Where pictures are deinterlaced, they had their pts before.
        pts = (
            found
            if self._deinterlacer is not None and found is not None
            else self._clock.stamp(found, picture.duration)
        )
        if self._color is None:
            self._color = color_tags(picture, self._video.codec_context)
            self._window.open_at(pts * unit)
            self._first = picture
        # Fields are denoised in host memory.
        surface = None if picture.interlaced_frame else surface_of(picture)
        picture = picture if surface is not None else in_memory(picture)
        if surface is not None and not self._lost_captions and has_captions(picture):
            self._lost_captions = True
            log.warning(
                '%s: captions begin at %.1f s, and are lost with pictures on the GPU. hwaccel="none" keeps them',
                self._shown,
                float(pts * unit),
            )
        return Frame(
            planes=planes_of(picture, copied=has_captions(picture)) if surface is None else surface,
            pix_fmt=nearest_planar(pixel_name(picture)),
            pts=pts - round(self._window.shift / unit),
            time_base=unit,
            duration=picture.duration,
            color=self._color,
            # Of a surface there is nothing that the encoder could be handed on, and it would stay in use.
            origin=picture if surface is None else None,
            fields=self._field_reader.order(picture) if surface is None else None,
        )


def _beginning(container: InputContainer, video: av.VideoStream) -> Fraction:
    """Where the video begins on the container's clock, in seconds: an hour, in some broadcasts."""
    if video.start_time is not None and video.time_base:
        return video.start_time * exact(video.time_base)
    return Fraction(container.start_time or 0, _AV_TIME_BASE)


def _others(container: InputContainer, video: av.VideoStream) -> tuple[Any, ...]:
    """All streams but the main one; of a play list with variants of one programme, those of its variant."""
    others = tuple(stream for stream in container.streams if stream is not video)
    variant = video.metadata.get(_VARIANT)
    if variant is None:
        return others
    same = tuple(s for s in others if s.type != "video" and s.metadata.get(_VARIANT, variant) == variant)
    same = _of_one_list(container, video, variant, same)
    if len(same) < len(others):
        log.info(
            "the best variant of the play list is taken, %d tracks of others are not", len(others) - len(same)
        )
    return same


def _of_one_list(
    container: InputContainer, video: av.VideoStream, variant: str, same: tuple[Any, ...]
) -> tuple[Any, ...]:
    """Those of ``same`` beside the video, where variants say the same rate: each has as many streams."""
    streams = [stream for stream in container.streams if stream.metadata.get(_VARIANT) == variant]
    lists = sum(stream.type == "video" for stream in streams)
    size, rest = divmod(len(streams), lists)
    parts = [streams[place : place + size] for place in range(0, len(streams), size)]
    if lists == 1 or rest or any(sum(stream.type == "video" for stream in part) != 1 for part in parts):
        return same
    own = next(part for part in parts if video in part)
    return tuple(stream for stream in same if stream in own)
