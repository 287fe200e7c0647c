"""A frame as a PNG file."""

from __future__ import annotations

from malle_rt.frame import Frame
from malle_rt.media.rgb import to_bgr
from malle_rt.opencv import opencv

__all__ = ["encode_png"]

# Of 9: pictures saved in passing must not take the processor from the live one.
_EFFORT = 1


def encode_png(frame: Frame) -> bytes:
    """A PNG as a screen would show the frame: full size, 8-bit RGB."""
    cv2 = opencv()
    return bytes(cv2.imencode(".png", to_bgr(frame), [cv2.IMWRITE_PNG_COMPRESSION, _EFFORT])[1])
