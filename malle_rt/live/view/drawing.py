"""What the window's picture is drawn with: places in whole pixels, colours, plates."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from malle_rt.opencv import opencv

__all__ = [
    "ACCENT",
    "BACKGROUND",
    "BLACK",
    "DIM",
    "INK",
    "PLATE",
    "RED",
    "Color",
    "Picture",
    "Rect",
    "Size",
    "draw_plate",
    "filled",
    "fit",
    "halves",
    "margin",
    "shade",
    "start_size",
    "text_size",
]

# (rows, columns, 3) uint8, BGR as OpenCV has it.
Picture = npt.NDArray[np.uint8]
# Width and height.
Size = tuple[int, int]
_USUAL_WIDTH = 1280  # small pictures are shown this wide at first: 480 lines would be a stamp on most screens
_SHARE = 0.9  # of the screen a first window may take; the rest is for frames and bars
Color = tuple[int, int, int]
INK: Color = (245, 245, 245)
DIM: Color = (182, 178, 174)
ACCENT: Color = (208, 214, 66)
RED: Color = (66, 66, 235)
BACKGROUND: Color = (22, 19, 17)
PLATE: Color = (36, 32, 29)
BLACK: Color = (0, 0, 0)
_SMALLEST = 13  # pixels; below that letters of either font run into each other
_SHOWS_THROUGH = 0.22


class Rect(NamedTuple):
    """A part of a picture."""

    x: int
    y: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """First column after it."""
        return self.x + self.width

    @property
    def bottom(self) -> int:
        """First row after it."""
        return self.y + self.height

    @property
    def size(self) -> Size:
        """Width and height."""
        return self.width, self.height

    def of(self, picture: Picture) -> Picture:
        """A view of that part, as far as it lies in the picture."""
        return picture[max(self.y, 0) : max(self.bottom, 0), max(self.x, 0) : max(self.right, 0)]


def fit(size: Size, area: Rect) -> Rect:
    """The largest part of ``area``, in its middle, that has the shape of a picture of ``size``."""
    scale = min(area.width / size[0], area.height / size[1])
    width, height = (
        max(1, min(round(side * scale), limit)) for side, limit in zip(size, area.size, strict=True)
    )
    return Rect(area.x + (area.width - width) // 2, area.y + (area.height - height) // 2, width, height)


def halves(area: Rect) -> tuple[Rect, Rect]:
    """The area's left and right half, equally wide."""
    width = max(1, area.width // 2)
    return area._replace(width=width), area._replace(x=area.right - width, width=width)


def start_size(size: Size, screen: Size) -> Size:
    """How large a window should be at first for pictures of ``size``."""
    width = max(size[0], _USUAL_WIDTH)
    wanted = (width, round(width * size[1] / size[0]))
    room = (int(screen[0] * _SHARE), int(screen[1] * _SHARE))
    return wanted if wanted[0] <= room[0] and wanted[1] <= room[1] else fit(size, Rect(0, 0, *room)).size


def text_size(area: Size) -> int:
    """Height of plain text in pixels for a window of that size; both sides count, so that lines fit its width."""
    return max(_SMALLEST, round(min(area[1] / 40, area[0] / 64)))


def margin(text: int) -> int:
    """Distance of plates from edges and from each other, for text of that size."""
    return max(6, round(text * 0.75))


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
