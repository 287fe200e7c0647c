"""What an input file is besides its pixels: all that a sink needs to write another one like it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer

from malle_rt.frame import ColorTags, VideoInfo
from malle_rt.media.compat import exact
from malle_rt.media.hardware import pixel_name
from malle_rt.media.interlacing import FieldOrder, FieldReader
from malle_rt.media.matroska_crop import matroska_crop
from malle_rt.media.mp4_boxes import PictureBoxes, clean_aperture, picture_boxes
from malle_rt.media.opening import is_path
from malle_rt.media.pixel_formats import has_alpha, nearest_planar
from malle_rt.media.side_data import (
    HdrMetadata,
    Stereo,
    display_matrix_of,
    dynamic_hdr_of,
    hdr_of,
    is_spherical,
    rotation_of,
    stereo_of,
)
from malle_rt.media.timeline import frame_rate_of
from malle_rt.media.window import Window

__all__ = ["Template", "describe"]


@dataclass(frozen=True, kw_only=True)
class Template:
    """An opened input, for a sink to copy from before the first packet is read by the pipeline.

    Attributes:
        info: the video track.
        container: the open container; only for headers (metadata, chapters, stream parameters). None where frames
            come from elsewhere than a file.
        video: the stream the frames come from.
        location: the input's path or URL.
        others: streams whose packets will come, cover pictures and attachments included.
        late: streams with the parameters of those of ``others`` whose beginning does not show them, by their index.
        display_matrix: FFmpeg's 9 integers, or None when pictures are shown as stored.
        boxes: what an MP4 or MOV says of its picture beside that, or what it would say of a Matroska file's.
        spherical: whether pictures are to be shown around the viewer.
        alpha: whether pictures have transparency.
        stereo: how they hold two views; None where they do not.
        hdr: static HDR metadata, or None.
        dynamic_hdr: names of per-scene HDR metadata that no encoder here can write again.
        fields: which field comes first where pictures hold two; None where they are progressive.
        origin: seconds on the output's clock where the input begins; 0 where timestamps were moved there.
        shift: seconds that were taken off every timestamp.
    """

    info: VideoInfo
    container: InputContainer | None = None
    video: av.VideoStream | None = None
    location: str | None = None
    others: tuple[Any, ...] = ()
    late: Mapping[int, Any] = field(default_factory=dict)
    display_matrix: tuple[int, ...] | None = None
    boxes: PictureBoxes = field(default_factory=PictureBoxes)
    spherical: bool = False
    alpha: bool = False
    stereo: Stereo | None = None
    hdr: HdrMetadata | None = None
    dynamic_hdr: tuple[str, ...] = ()
    fields: FieldOrder | None = None
    origin: Fraction = Fraction(0)
    shift: Fraction = Fraction(0)

    @property
    def interlaced(self) -> bool:
        """Whether pictures hold two fields."""
        return self.fields is not None


def describe(
    location: str,
    container: InputContainer,
    video: av.VideoStream,
    first: av.VideoFrame,
    color: ColorTags,
    window: Window,
    others: tuple[Any, ...],
) -> Template:
    """The template of an input whose first picture is known."""
    matrix = display_matrix_of(first)
    info = VideoInfo(
        width=first.width,
        height=first.height,
        pix_fmt=nearest_planar(pixel_name(first)),
        time_base=exact(first.time_base or video.time_base or 1),
        frame_rate=frame_rate_of(video),
        sample_aspect_ratio=exact(video.sample_aspect_ratio or 1),
        rotation=rotation_of(matrix),
        duration=window.length(_duration(container, video)),
        frames=_frame_count(container, video) if window.is_whole else None,
        color=color,
        codec=video.codec_context.name,
    )
    return Template(
        location=location,
        info=info,
        container=container,
        video=video,
        others=others,
        display_matrix=matrix,
        boxes=_boxes(location, container, video),
        spherical=is_spherical(first),
        alpha=has_alpha(pixel_name(first)),
        stereo=stereo_of(first),
        hdr=hdr_of(first),
        dynamic_hdr=dynamic_hdr_of(first),
        fields=FieldReader().order(first),
        origin=Fraction(0) if window.has_start else Fraction(container.start_time or 0, 1_000_000),
        shift=window.shift,
    )


def _boxes(location: str, container: InputContainer, video: av.VideoStream) -> PictureBoxes:
    names = container.format.name.split(",")
    if not is_path(location) or not {"mov", "matroska"} & set(names):
        return PictureBoxes()
    if "mov" in names:
        return picture_boxes(Path(location), video.id)
    crop = matroska_crop(Path(location), video.index)
    size = video.codec_context.width, video.codec_context.height
    return PictureBoxes(description=clean_aperture(size, *crop) if crop is not None else b"")


def _frame_count(container: InputContainer, video: av.VideoStream) -> int | None:
    """The container's count, where it agrees with duration x rate: a fragmented MP4 counts its first part only."""
    rate, duration = frame_rate_of(video), _duration(container, video)
    if not video.frames or rate is None or duration is None:
        return video.frames or None
    return video.frames if abs(video.frames - rate * duration) <= max(2, video.frames // 10) else None


def _duration(container: InputContainer, video: av.VideoStream) -> Fraction | None:
    """Seconds of the video track, else of the file; None when neither says."""
    if video.duration and video.time_base:
        return video.duration * exact(video.time_base)
    return Fraction(container.duration, 1_000_000) if container.duration else None
