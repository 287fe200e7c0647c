"""From whatever a decoder gives to the planar pictures that frames hold."""

from __future__ import annotations

import av

from malle_rt.frame import ColorTags, Plane
from malle_rt.media.pixel_formats import is_full_range_name, nearest_planar, plain_name
from malle_rt.media.planes import reformatted, view_planes

__all__ = ["color_tags", "planes_of"]

# FFmpeg's numbers: AVCOL_RANGE_MPEG, AVCOL_RANGE_JPEG, AVCOL_SPC_BT709.
_LIMITED_RANGE, _FULL_RANGE, _BT709 = 1, 2, 1


def planes_of(picture: av.VideoFrame, *, copied: bool = False) -> tuple[Plane, ...]:
    """Planes in the format ``nearest_planar`` names; a view of the decoder's memory where nothing has to change.

    Args:
        picture: as decoded.
        copied: whether they must never be a view, since the frame's memory is filled with new pixels at the other end:
            where the encoder needs the decoder's own frame, for its captions.
    """
    name = picture.format.name
    target = nearest_planar(name)
    if target != plain_name(name):
        return view_planes(_reformat(picture, target))
    planes = view_planes(picture)
    return tuple(plane.copy() for plane in planes) if copied else planes


def color_tags(picture: av.VideoFrame, context: av.VideoCodecContext) -> ColorTags:
    """Colour description of the planes that ``planes_of`` gives."""
    tags = ColorTags(context.color_range, context.colorspace, context.color_primaries, context.color_trc)
    if _is_rgb(picture):
        return ColorTags(_LIMITED_RANGE, _BT709, tags.primaries, tags.transfer)
    if is_full_range_name(picture.format.name):
        return ColorTags(_FULL_RANGE, tags.colorspace, tags.primaries, tags.transfer)
    return tags


def _is_rgb(picture: av.VideoFrame) -> bool:
    form = picture.format
    return bool(form.is_rgb or form.has_palette)


def _reformat(picture: av.VideoFrame, target: str) -> av.VideoFrame:
    """Another layout of the same samples; for RGB, BT.709 in limited range, the matrix every player knows."""
    if not _is_rgb(picture):
        return reformatted(picture, target)
    return reformatted(
        picture,
        target,
        dst_colorspace="ITU709",
        src_color_range="JPEG",
        dst_color_range="MPEG",
    )
