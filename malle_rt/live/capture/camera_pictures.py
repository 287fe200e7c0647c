"""From OpenCV's pictures to the planes of a frame."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from malle_rt.frame import ColorTags
from malle_rt.opencv import opencv

__all__ = ["BT601", "Bytes", "planes_of_bgr", "unpacked"]

# FFmpeg's numbers: AVCOL_RANGE_MPEG, AVCOL_SPC_SMPTE170M; the colours themselves are what the camera makes of them.
BT601 = ColorTags(color_range=1, colorspace=6)

Bytes = npt.NDArray[np.uint8]


def planes_of_bgr(picture: Bytes) -> tuple[Bytes, Bytes, Bytes]:
    """Y, U, V with chroma at half size, rounded up.

    Taking YUYV from the camera undecoded instead was tried: OpenCV converts to BGR and back in a third of the time
    that numpy and OpenCV need to take its planes apart, and the luma comes back the same.

    Args:
        picture: (rows, columns, 3), uint8, blue first, any size.

    Returns:
        Planes in the limited range of BT.601, in memory of their own.
    """
    cv2 = opencv()
    rows, columns = picture.shape[:2]
    if rows % 2 or columns % 2:
        picture = cv2.copyMakeBorder(picture, 0, rows % 2, 0, columns % 2, cv2.BORDER_REPLICATE)
    height, width = picture.shape[:2]
    samples: Bytes = cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420).reshape(-1)
    luma, quarter, half = height * width, height * width // 4, (height // 2, width // 2)
    return (
        samples[:luma].reshape(height, width)[:rows, :columns],
        samples[luma : luma + quarter].reshape(half),
        samples[luma + quarter :].reshape(half),
    )


def unpacked(data: Bytes) -> Bytes | None:
    """A JPEG picture as (rows, columns, 3), uint8, blue first; None where it is too damaged to be one."""
    cv2 = opencv()
    picture: Bytes | None = cv2.imdecode(data.reshape(-1), cv2.IMREAD_COLOR)
    return picture
