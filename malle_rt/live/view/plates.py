"""Dark translucent plates, which keep text readable on any picture."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from malle_rt.live.view.geometry import Picture, Rect, Size
from malle_rt.live.view.theme import PLATE, Color
from malle_rt.opencv import opencv

__all__ = ["draw_plate", "filled", "shade"]

_SHOWS_THROUGH = 0.22


def filled(size: Size, color: Color) -> Picture:
    """A picture of one colour; OpenCV fills it ten times as fast as numpy repeats three bytes."""
    picture = np.empty((size[1], size[0], 3), np.uint8)
    opencv().rectangle(picture, (0, 0), size, color, -1)
    return picture


def shade(picture: Picture, share: float) -> None:
    """Darken a picture in place to that share of its brightness."""
    opencv().convertScaleAbs(picture, picture, share, 0)


def draw_plate(
    picture: Picture, area: Rect, radius: int, *, color: Color = PLATE, through: float = _SHOWS_THROUGH
) -> None:
    """A plate with round corners, in place.

    Args:
        picture: changed.
        area: what lies outside of the picture is left out.
        radius: of the corners, in pixels.
        color: (blue, green, red) of the plate.
        through: share of the picture that shows through.
    """
    part = area.of(picture)
    if not part.size:
        return
    radius = max(0, min(radius, part.shape[0] // 2, part.shape[1] // 2))
    corners = [_corner(part, radius, place).copy() for place in range(4)]
    ground = filled((part.shape[1], part.shape[0]), color)
    opencv().addWeighted(part, through, ground, 1 - through, 0, part)
    covered = _coverage(radius)
    for place, before in enumerate(corners):
        share = covered[:: -1 if place & 2 else 1, :: -1 if place & 1 else 1]
        corner = _corner(part, radius, place)
        corner[:] = before + (corner.astype(np.float32) - before) * share


def _corner(part: Picture, radius: int, place: int) -> Picture:
    """A view of one corner; bit 0 of ``place`` is right, bit 1 bottom."""
    rows = slice(part.shape[0] - radius, None) if place & 2 else slice(0, radius)
    columns = slice(part.shape[1] - radius, None) if place & 1 else slice(0, radius)
    return part[rows, columns]


@lru_cache(maxsize=8)
def _coverage(radius: int) -> npt.NDArray[np.float32]:
    """How much of each pixel a top left corner covers, (radius, radius, 1), 0 to 1."""
    away = radius - 0.5 - np.arange(radius, dtype=np.float32)
    distance = np.hypot(away[:, None], away[None, :])
    covered: npt.NDArray[np.float32] = np.clip(radius - distance + 0.5, 0, 1).astype(np.float32)
    return covered[..., None]
