"""Colours and sizes of what is drawn over the picture. Colours are (blue, green, red)."""

from __future__ import annotations

from malle_rt.live.view.geometry import Size

__all__ = ["ACCENT", "BACKGROUND", "BLACK", "DIM", "INK", "PLATE", "RED", "Color", "margin", "text_size"]

Color = tuple[int, int, int]

INK: Color = (245, 245, 245)
DIM: Color = (182, 178, 174)
ACCENT: Color = (208, 214, 66)
RED: Color = (66, 66, 235)
BACKGROUND: Color = (22, 19, 17)
PLATE: Color = (36, 32, 29)
BLACK: Color = (0, 0, 0)

_SMALLEST = 13  # pixels; below that letters of either font run into each other


def text_size(area: Size) -> int:
    """Height of plain text in pixels for a window of that size; both sides count, so that lines fit its width."""
    return max(_SMALLEST, round(min(area[1] / 40, area[0] / 64)))


def margin(text: int) -> int:
    """Distance of plates from edges and from each other, for text of that size."""
    return max(6, round(text * 0.75))
