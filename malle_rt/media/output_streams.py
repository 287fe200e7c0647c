"""The container of an output: its encoded track, the copied tracks around it, and its header."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import av
from av.container import InputContainer, OutputContainer

from malle_rt.errors import ConfigError, SinkError
from malle_rt.frame import Surface
from malle_rt.media.carrying import Track, add_carried, clean_metadata, copy_labels, is_mov
from malle_rt.media.compat import exact
from malle_rt.media.encode_config import ALPHA_BESIDE, EncodeConfig
from malle_rt.media.mp4_boxes import PictureBoxes
from malle_rt.media.opening import is_attached_picture
from malle_rt.media.picture_plan import plan_picture
from malle_rt.media.pixel_formats import has_alpha, is_rgb
from malle_rt.media.side_data import Stereo
from malle_rt.media.standard_output import output_suffix
from malle_rt.media.template import Template
from malle_rt.media.video_encoder import VideoEncoder

if TYPE_CHECKING:
    from av.container.core import Chapter

__all__ = ["Keeping", "OutputStreams", "create_container"]

log = logging.getLogger(__name__)

# Muxers whose files begin at 0: a later start would be shown as an empty stretch, an hour of it in some broadcasts.
_ZERO_BASED = frozenset({"mp4", "mov", "ipod", "matroska", "webm", "avi", "flv"})
# AVFMT_NOFILE: the muxer opens files of its own, as for HLS.
_NO_FILE = 1
# Muxers whose files would be refused when they are read back, by why.
_UNFIT = dict.fromkeys(
    ("h264", "hevc", "vvc", "obu", "mjpeg", "rawvideo"), "a bare stream keeps no times of its frames"
)
_UNFIT |= dict.fromkeys(("avif", "webp"), "more than one picture in such a file cannot be read back here")
# Muxers that store a display matrix.
_TURNING = frozenset({"mp4", "mov", "ipod", "matroska", "webm"})
# Matroska's names of two views in one picture, the left and the right one first.
_STEREO_MODES = {
    "side by side": ("left_right", "right_left"),
    "top and bottom": ("top_bottom", "bottom_top"),
    "frame by frame": ("block_lr", "block_rl"),
    "checkerboard": ("checkerboard_lr", "checkerboard_rl"),
    "line by line": ("row_interleaved_lr", "row_interleaved_rl"),
    "column by column": ("col_interleaved_lr", "col_interleaved_rl"),
}
# What MP4 readers report of the file type, not of the film.
_FILE_TYPE = ("major_brand", "minor_version", "compatible_brands")
# Files that must be playable wherever they break off. MP4 in fragments of a second, since its index comes last
# otherwise; its header waits for the first fragment, for only then can it say where the tracks begin. Matroska
# in clusters of a second: it keeps each in memory until it is complete, 5 s by default.
Keeping = Literal["nothing", "fragments", "both"]
_FRAGMENTS: dict[Keeping, str] = {
    "fragments": "+frag_keyframe+delay_moov+default_base_moof",
    "both": "+frag_keyframe+delay_moov+hybrid_fragmented",  # an ordinary file with one index at the end
}
_MP4 = {"frag_duration": "1000000", "flush_packets": "1"}
_OTHERS = {"cluster_time_limit": "1000", "flush_packets": "1"}


def create_container(
    partial: Path,
    shown: Path,
    metadata: Mapping[str, str],
    *,
    keeping: Keeping = "nothing",
    container_format: str | None = None,
) -> OutputContainer:
    """Open ``partial`` for writing in the format its extension means, or the one that is named.

    Args:
        partial: where to write.
        shown: the name the user knows it by.
        metadata: what the film will carry.
        keeping: "fragments": the file must be playable wherever it breaks off; "both": and be an ordinary one once
            it is finished, for which it must be seekable.
        container_format: one of ``PIPE_FORMATS``.

    Raises:
        ConfigError: no such format.
        SinkError: the file cannot be created.
    """
    suffix = output_suffix(partial, container_format).lower()
    try:
        container = av.open(
            str(partial),
            "w",
            format=container_format,
            container_options=_muxer_options(suffix, metadata, keeping),
        )
    except ValueError as exc:
        raise ConfigError(
            f"{shown}: no container format is known by the extension {shown.suffix!r}. Use .mkv, .mp4, .mov or .webm"
        ) from exc
    except (av.error.FFmpegError, OSError) as exc:
        raise SinkError(f"{shown}: cannot be created ({exc.strerror or exc}). Check the folder") from exc
    name = container.format.name
    reason = (
        f"{name} output is more than one file" if container.format.flags & _NO_FILE else _UNFIT.get(name, "")
    )
    if reason:
        container.close()
        raise ConfigError(
            f"{shown}: {reason}. Use .mkv, .mp4, .mov or .webm; pictures have a number in their name, such as "
            "frame_%04d.png"
        )
    return container


class OutputStreams:
    """All tracks of an output, its header not yet written.

    Attributes:
        encoder: of the video track.
        tracks: copied tracks by their index in the source.
        position: of the encoded track among the video tracks, cover pictures not counted.
        shift: seconds to take off every timestamp.
        number: of the encoded track in an MP4 or MOV.
        boxes: what is still to be written into the finished file about the encoded track.
        covers: numbers of the tracks of cover pictures in an MP4 or MOV.
    """

    def __init__(
        self,
        container: OutputContainer,
        template: Template,
        config: EncodeConfig,
        surface: Surface | None = None,
        *,
        in_fragments: bool = False,
    ) -> None:
        """Add all tracks.

        Args:
            container: of the output.
            template: what the source is.
            config: encoder settings.
            surface: see ``VideoEncoder``.
            in_fragments: whether nothing can be written into the finished file.

        Raises:
            ConfigError: the container, the encoder and the settings do not fit together.
        """
        self.tracks: dict[int, Track] = {}
        self._container = container
        self._in_fragments = in_fragments
        self.boxes = PictureBoxes()
        self.shift = _shift(container, template)
        self._add_tracks(template, config, surface)
        covers = (
            filter(is_attached_picture, container.streams) if is_mov(container) and not in_fragments else ()
        )
        self.covers = [stream.index + 1 for stream in covers]
        if template.container is not None:
            container.metadata.update(_film_metadata(template.container.metadata))
            self._copy_chapters(template.container, template)

    def flush(self, *, encoder: bool = True) -> list[av.Packet[Any]]:
        """The packets that the encoder, unless nothing went in, and the other tracks still hold."""
        held = [self.encoder.flush() if encoder else [], *(track.flush() for track in self.tracks.values())]
        return [packet for packets in held for packet in packets]

    def _add_tracks(self, template: Template, config: EncodeConfig, surface: Surface | None) -> None:
        """The encoded track at the place of the one it replaces, the others around it."""
        own = template.video.index if template.video is not None else -1
        self._late = template.late
        before = [stream for stream in template.others if stream.index < own]
        self._carry(before)
        self.position = sum(
            stream.type == "video" and stream.index in self.tracks and not is_attached_picture(stream)
            for stream in before
        )
        self._encode(template, config, surface)
        self._carry(stream for stream in template.others if stream.index > own)

    def _encode(self, template: Template, config: EncodeConfig, surface: Surface | None) -> None:
        name = self._container.format.name
        tells = name in _TURNING
        turn = bool(template.info.rotation) and not tells
        if turn:
            log.warning(
                "%s files cannot say how to turn the picture here: it is turned by %d degrees itself",
                name,
                template.info.rotation,
            )
        config = _plain_format(template, config, is_mov=is_mov(self._container))
        plan = plan_picture(template.info, config, turn=turn, alpha=template.alpha)
        self.encoder = VideoEncoder(self._container, template, config, plan, surface)
        self.number = self.encoder.stream.index + 1
        if template.video is not None:
            copy_labels(template.video, self.encoder.stream)
            labels = self.encoder.stream.metadata
            for key in [key for key in labels if key.lower() == "alpha_mode"]:
                del labels[key]
        if config.codec in ALPHA_BESIDE and has_alpha(plan.pix_fmt):
            self.encoder.stream.metadata["alpha_mode"] = "1"
        if template.display_matrix is not None and tells:
            self.encoder.stream.set_display_matrix(template.display_matrix)
        self._keep_shape(template, whole=not turn and plan.size == plan.source_size)

    def _keep_shape(self, template: Template, *, whole: bool) -> None:
        """What says that the picture is more or less than a flat rectangle; warns of what cannot be written.

        Args:
            template: what the source is.
            whole: whether the picture is as large and as upright as the source's.
        """
        name, boxes = self._container.format.name, template.boxes
        if not whole:
            boxes = boxes.without_clean_aperture()
        self.boxes = boxes if is_mov(self._container) and not self._in_fragments else PictureBoxes()
        if template.boxes.clean_aperture and not self.boxes.clean_aperture:
            log.warning(
                "the input names a part of the picture that shall be shown (clean aperture), which is not written %s: "
                "all of it is shown",
                f"into {name} files here" if whole else "for a picture of another size",
            )
        if (template.spherical or boxes.spherical) and not self.boxes.spherical:
            log.warning(
                "the picture is a sphere around the viewer (360°), which is not written into this file: players will "
                "show it flat. From MP4 to MP4, it is kept"
            )
        if template.stereo is not None:
            self._keep_stereo(template.stereo)

    def _keep_stereo(self, stereo: Stereo) -> None:
        if stereo.packing is None:
            log.warning("the input holds two views (3D), of which the first one is denoised and kept")
            return
        kept = self.encoder.writes_stereo or self.boxes.stereo
        if self._container.format.name in ("matroska", "webm"):
            mode = _STEREO_MODES[stereo.packing][stereo.right_first]
            self.encoder.stream.metadata.setdefault("stereo_mode", mode)
            kept = True
        if not kept:
            log.warning(
                "the picture holds two views (3D, %s), which is not written into this file: players will show both. "
                ".mkv files say it, and libx264 does",
                stereo.packing,
            )

    def _carry(self, sources: Iterable[Any]) -> None:
        for source in sources:
            track = add_carried(self._container, self._late.get(source.index, source), source.index)
            if track is not None:
                self.tracks[source.index] = track

    def _copy_chapters(self, source: InputContainer, template: Template) -> None:
        moved = [_moved(chapter, self.shift + template.shift) for chapter in source.chapters()]
        length = template.info.duration
        kept = [
            chapter
            for chapter in moved
            if chapter["end"] > 0
            and (length is None or chapter["start"] * (chapter["time_base"] or 1) < length)
        ]
        if kept:
            self._container.set_chapters(kept)


def _plain_format(template: Template, config: EncodeConfig, *, is_mov: bool) -> EncodeConfig:
    """RGB (screens, GIF) in MP4 becomes what every player shows, unless the user asks for a format."""
    source = template.video.codec_context if template.video is not None else None
    if config.pix_fmt is not None or not is_mov or config.codec not in ("libx264", "libx265"):
        return config
    if source is None or source.pix_fmt is None or not is_rgb(source.pix_fmt):
        return config
    log.warning(
        "RGB video is encoded as yuv420p of 8 bits, which plays everywhere; pix_fmt %s keeps more",
        template.info.pix_fmt,
    )
    return replace(config, pix_fmt="yuv420p")


def _muxer_options(suffix: str, metadata: Mapping[str, str], keeping: Keeping) -> dict[str, str]:
    """For the muxer; those that it does not know are ignored."""
    if suffix == ".y4m":
        return {"strict": "unofficial", "flush_packets": "1"}  # more than 8 bits
    if suffix not in (".mp4", ".mov", ".m4v"):
        return {} if keeping == "nothing" else dict(_OTHERS)
    options = {} if keeping == "nothing" else {"movflags": _FRAGMENTS[keeping], **_MP4}
    if any(key.startswith("com.") for key in metadata):
        # Without it, the keys that phones write (com.apple.quicktime.make ...) are lost.
        options["movflags"] = options.get("movflags", "") + "+use_metadata_tags"
    return options


def _shift(container: OutputContainer, template: Template) -> Fraction:
    if container.format.name not in _ZERO_BASED or template.origin <= 0:
        return Fraction(0)
    log.info("the input begins at %.3f s; %s files begin at 0", float(template.origin), container.format.name)
    return template.origin


def _film_metadata(metadata: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in clean_metadata(metadata).items() if key not in _FILE_TYPE}


def _moved(chapter: Chapter, shift: Fraction) -> Chapter:
    """A chapter ``shift`` seconds earlier, cut off at 0."""
    ticks = round(shift / exact(chapter["time_base"] or 1))
    start, end = max(0, chapter["start"] - ticks), chapter["end"] - ticks
    return {**chapter, "start": start, "end": end}
