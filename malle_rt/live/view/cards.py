"""Cards over the whole window: the keys, and what goes on before there is a picture."""

from __future__ import annotations

from collections.abc import Sequence

from malle_rt.live.statistics import Statistics
from malle_rt.live.view.geometry import Picture, Rect
from malle_rt.live.view.plates import draw_plate
from malle_rt.live.view.theme import ACCENT, DIM, INK, Color
from malle_rt.media.drawn_text import draw_text, fitted, text_width, wrapped

__all__ = ["draw_help", "draw_waiting"]

_LEADING = 1.5
_WAITING = {
    "waiting": "Waiting for the first picture",
    "live": "Denoising the first picture",
    "lost": "No picture",
    "ended": "The source has ended",
}


def draw_help(picture: Picture, keys: Sequence[tuple[str, str]], area: Rect, size: int) -> None:
    """The keys and what they do, on a plate in the middle of the area; smaller text where they would not fit."""
    lines = len(keys) + 1.5
    size = min(size, int(area.height * 0.94 / (lines * _LEADING + 2.2)))
    step, inner = round(size * _LEADING), round(size * 1.4)
    meanings = max(text_width(key, size, bold=True) for key, _ in keys) + round(size * 1.6)
    width = meanings + max(text_width(meaning, size) for _, meaning in keys) + 2 * inner
    height = round(step * lines) + 2 * inner - (step - size)
    plate = Rect(area.x + (area.width - width) // 2, area.y + (area.height - height) // 2, width, height)
    draw_plate(picture, plate, round(size * 0.8), through=0.1)
    x, y = plate.x + inner, plate.y + inner + round(size * 0.82)
    draw_text(picture, "Keys", (x, y), size, INK, bold=True)
    y += round(step * 0.5)
    for key, meaning in keys:
        y += step
        draw_text(picture, key, (x, y), size, ACCENT, bold=True)
        draw_text(picture, meaning, (x + meanings, y), size, INK)


def draw_waiting(picture: Picture, statistics: Statistics, area: Rect, size: int) -> None:
    """What goes on before the first picture, in the middle of an empty window."""
    big, room = round(size * 2.1), round(area.width * 0.84)
    y = area.y + round(area.height * 0.42)
    _centred(picture, _WAITING[statistics.state], area, y, big, INK, bold=True)
    y += round(big * 1.2)
    _centred(picture, fitted(statistics.source, size, room), area, y, size, DIM)
    y += round(size * _LEADING * 0.6)
    for line in wrapped(statistics.message or "", round(size * 1.15), room, 3):
        y += round(size * 1.15 * _LEADING)
        _centred(picture, line, area, y, round(size * 1.15), ACCENT)
    _centred(picture, "h shows the keys, q quits", area, area.bottom - 2 * size, size, DIM)


def _centred(
    picture: Picture,
    text: str,
    area: Rect,
    y: int,
    size: int,
    color: Color,
    *,
    bold: bool = False,
) -> None:
    x = area.x + (area.width - text_width(text, size, bold=bold)) // 2
    draw_text(picture, text, (x, y), size, color, bold=bold)
