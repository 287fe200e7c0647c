"""Raw yuv420p pictures as frames of malle-rt, and back."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import numpy.typing as npt

from malle_rt.frame import ColorTags, Frame

__all__ = ["Picture", "to_frame", "to_picture"]

Picture = npt.NDArray[np.uint8]
"""(H * 3 // 2, W): Y, then U and V, as FFmpeg stores raw yuv420p; W and H even."""

_BT709_LIMITED = ColorTags(color_range=1, colorspace=1, primaries=1, transfer=1)


def to_frame(picture: Picture, number: int = 0) -> Frame:
    """The frame of that number at 25 frames per second, BT.709, limited range."""
    height, width = picture.shape[0] * 2 // 3, picture.shape[1]
    u, v = picture[height:].reshape(2, height // 2, width // 2)
    return Frame((picture[:height], u, v), "yuv420p", number, Fraction(1, 25), 1, _BT709_LIMITED)


def to_picture(frame: Frame) -> Picture:
    """A frame in yuv420p as a raw picture."""
    flat = np.concatenate([np.asarray(plane).reshape(-1) for plane in frame.planes])
    return flat.astype(np.uint8, copy=False).reshape(frame.height * 3 // 2, frame.width)
