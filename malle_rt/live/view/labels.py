"""Small marks on the picture: which half is which, the divider, that it records or stands still, what a key did."""

from __future__ import annotations

from typing import Literal

import numpy as np

from malle_rt.live.statistics import Statistics
from malle_rt.live.view.geometry import Picture, Rect
from malle_rt.live.view.plates import draw_plate
from malle_rt.live.view.theme import ACCENT, BACKGROUND, INK, RED, margin
from malle_rt.media.drawn_text import draw_text, text_width
from malle_rt.opencv import opencv

__all__ = ["draw_badges", "draw_divider", "draw_label"]

_HEIGHT = 1.9  # of a label, as a multiple of the text's size


def draw_badges(picture: Picture, statistics: Statistics, frozen: bool, area: Rect, size: int) -> None:
    """Top right: a red dot and the time while it records, and that the picture is frozen."""
    top, right = area.y + margin(size), area.right - margin(size)
    if statistics.recording is not None:
        text, indent = _clock(statistics.recorded_seconds), round(size * 1.1)
        width = _width(text, size) + indent
        plate = Rect(right - width, top, width, round(size * _HEIGHT))
        _draw_pill(picture, text, plate, size, indent=indent)
        center = (plate.x + round(size * 1.3), plate.y + plate.height // 2)
        cv2 = opencv()
        cv2.circle(picture, center, max(3, round(size * 0.36)), RED, -1, cv2.LINE_AA)
        top = plate.bottom + margin(size) // 2
    if frozen:
        width = _width("frozen", size)
        _draw_pill(picture, "frozen", Rect(right - width, top, width, round(size * _HEIGHT)), size)


def draw_label(
    picture: Picture, text: str, x: int, bottom: int, size: int, *, align: Literal["left", "middle", "right"]
) -> None:
    """A word on a plate that ends above ``bottom``; to the left of column ``x``, across it or to its right.

    It is left out where it would reach beyond the picture: half a word tells nothing.
    """
    width, gap = _width(text, size), margin(size)
    place = {"left": x - gap - width, "middle": x - width // 2, "right": x + gap}[align]
    height = round(size * _HEIGHT)
    if place >= 0 and place + width <= picture.shape[1]:
        _draw_pill(picture, text, Rect(place, bottom - gap - height, width, height), size)


def draw_divider(picture: Picture, x: int, inside: Rect, bottom: int, size: int) -> None:
    """A line at column ``x`` from the top of the picture to row ``bottom``, with a handle in the picture's middle."""
    thick = max(2, round(size / 9))
    Rect(x - thick // 2, inside.y, thick, bottom - inside.y).of(picture)[:] = INK
    cv2 = opencv()
    y, radius = inside.y + inside.height // 2, round(size * 0.85)
    cv2.circle(picture, (x, y), radius, INK, -1, cv2.LINE_AA)
    cv2.circle(picture, (x, y), radius - thick, ACCENT, -1, cv2.LINE_AA)
    for side in (-1, 1):
        near, far = round(size * 0.16) * side, round(size * 0.46) * side
        half = round(size * 0.22)
        arrow = np.array([(x + far, y), (x + near, y - half), (x + near, y + half)], np.int32)
        cv2.fillConvexPoly(picture, arrow, BACKGROUND, cv2.LINE_AA)


def _draw_pill(picture: Picture, text: str, plate: Rect, size: int, *, indent: int = 0) -> None:
    draw_plate(picture, plate, plate.height // 2)
    at = (plate.x + size + indent, plate.y + plate.height // 2 + round(size * 0.34))
    draw_text(picture, text, at, size, INK)


def _width(text: str, size: int) -> int:
    return text_width(text, size) + 2 * size


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"
