"""A clock in the picture: the time a frame was drawn at, as black and white blocks that survive noise and codecs."""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt

__all__ = ["PLACE", "age", "milliseconds", "read_clock", "write_clock"]

# The strip, as shares of the picture's height. Low in the picture: overlays and labels are at its top.
PLACE = (0.70, 0.82)
_BITS = 16
_DARK, _BRIGHT = 40, 210
_CONTRAST = 60  # between the two of a bit; less is a picture in the middle of changing

Gray = npt.NDArray[np.uint8]


def milliseconds() -> int:
    """Now, on the clock that all processes of a machine share; begins again every 65.5 seconds."""
    return round(time.time() * 1000) % (1 << _BITS)


def age(drawn: int) -> int:
    """Milliseconds since an instant of ``milliseconds``."""
    return (milliseconds() - drawn) % (1 << _BITS)


def write_clock(luma: Gray, now: int) -> None:
    """Draw an instant into (rows, columns) luma: a row of bits, and below it the same inverted."""
    top, bottom = (round(share * luma.shape[0]) for share in PLACE)
    middle = (top + bottom) // 2
    bits = [now >> (_BITS - 1 - index) & 1 for index in range(_BITS)]
    for rows, inverted in ((luma[top:middle], 0), (luma[middle:bottom], 1)):
        for bit, block in zip(bits, np.array_split(rows, _BITS, axis=1), strict=True):
            block[:] = _BRIGHT if bit ^ inverted else _DARK


def read_clock(strip: Gray) -> int | None:
    """The instant in a strip (rows, columns) that shows ``PLACE`` of the picture; None where it is not whole."""
    rows = strip.shape[0]
    upper, lower = strip[rows // 8 : rows * 3 // 8], strip[rows * 5 // 8 : rows * 7 // 8]
    differences = [
        float(np.median(one)) - float(np.median(other))
        for one, other in zip(_cores(upper), _cores(lower), strict=True)
    ]
    if min(map(abs, differences)) < _CONTRAST:
        return None
    return sum((difference > 0) << (_BITS - 1 - index) for index, difference in enumerate(differences))


def _cores(rows: Gray) -> list[Gray]:
    """The middle half of each block."""
    blocks = np.array_split(rows, _BITS, axis=1)
    return [block[:, block.shape[1] // 4 : block.shape[1] * 3 // 4] for block in blocks]
