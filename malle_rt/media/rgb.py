"""A frame as the RGB or BGR picture a screen would show."""

from __future__ import annotations

from typing import cast

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import ColorRange, Colorspace

from malle_rt.frame import Frame, Plane
from malle_rt.media.pixel_formats import plain_name
from malle_rt.media.planes import new_video_frame, reformatted, view_planes

__all__ = ["from_order", "to_bgr", "to_order", "to_rgb"]

# FFmpeg's numbers (ISO/IEC 23091-2): AVCOL_RANGE_JPEG; matrices by their coefficients.
_FULL_RANGE = 2
_MATRICES = {1: Colorspace.ITU709, 4: Colorspace.FCC, 5: Colorspace.ITU601, 6: Colorspace.ITU601}
_MATRICES |= {7: Colorspace.SMPTE240M}
# Untagged video: players take BT.709 from this height on and BT.601 below.
_HD = 720


def to_rgb(frame: Frame) -> npt.NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB, full range. Only for looking at: untagged matrices are chosen as players do."""
    return cast("npt.NDArray[np.uint8]", to_order(frame, "rgb24"))


def to_bgr(frame: Frame) -> npt.NDArray[np.uint8]:
    """As ``to_rgb``, in the order OpenCV has."""
    return cast("npt.NDArray[np.uint8]", to_order(frame, "bgr24"))


def to_order(frame: Frame, order: str) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    """As ``to_rgb``, in the order and depth of one of FFmpeg's packed formats: "rgb24", "bgr48le" ..."""
    matrix, span = _coding(frame)
    picture = reformatted(
        new_video_frame(frame.planes, plain_name(frame.pix_fmt)),
        order,
        src_colorspace=matrix,
        src_color_range=span,
        dst_color_range=ColorRange.JPEG,
    )
    return cast("npt.NDArray[np.uint8] | npt.NDArray[np.uint16]", picture.to_ndarray())


def from_order(
    pixels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16], order: str, frame: Frame
) -> tuple[Plane, ...]:
    """Planes such as those of ``frame``, of a picture as ``to_order`` gives it."""
    matrix, span = _coding(frame)
    picture = reformatted(
        av.VideoFrame.from_ndarray(pixels, format=order),
        plain_name(frame.pix_fmt),
        dst_colorspace=matrix,
        src_color_range=ColorRange.JPEG,
        dst_color_range=span,
    )
    return view_planes(picture)


def _coding(frame: Frame) -> tuple[Colorspace, ColorRange]:
    """Matrix and range of a frame, as players take them where it does not say."""
    default = Colorspace.ITU709 if frame.height >= _HD else Colorspace.ITU601
    full = frame.color.color_range == _FULL_RANGE or frame.pix_fmt.startswith("yuvj")
    return _MATRICES.get(frame.color.colorspace, default), ColorRange.JPEG if full else ColorRange.MPEG
