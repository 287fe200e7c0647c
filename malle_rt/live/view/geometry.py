"""Where things lie in the picture that a window shows: whole pixels, origin at the top left."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Picture", "Rect", "Size", "fit", "halves", "start_size"]

# (rows, columns, 3) uint8, BGR as OpenCV has it.
Picture = npt.NDArray[np.uint8]
# Width and height.
Size = tuple[int, int]

_USUAL_WIDTH = 1280  # small pictures are shown this wide at first: 480 lines would be a stamp on most screens
_SHARE = 0.9  # of the screen a first window may take; the rest is for frames and bars


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
