"""All that is written over the picture: statistics, banners, marks, and cards over the whole window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from malle_rt.live.statistics import Statistics
from malle_rt.live.view.drawing import (
    ACCENT,
    BACKGROUND,
    DIM,
    INK,
    PLATE,
    RED,
    Color,
    Picture,
    Rect,
    draw_plate,
    margin,
)
from malle_rt.media.drawn_text import draw_text, fitted, text_width, wrapped
from malle_rt.opencv import opencv

__all__ = [
    "draw_badges",
    "draw_banner",
    "draw_divider",
    "draw_help",
    "draw_label",
    "draw_statistics",
    "draw_waiting",
    "statistics_rows",
]

_LABEL_HEIGHT = 1.9  # of a label, as a multiple of the text's size
_LEADING = 1.42  # from baseline to baseline, as a multiple of the text's size
_ALARM = 0.6  # of the height, below the statistics of the smallest window
_CARD_LEADING = 1.5
_WAITING = {
    "waiting": "Waiting for the first picture",
    "live": "Denoising the first picture",
    "lost": "No picture",
    "ended": "The source has ended",
}


def draw_badges(picture: Picture, statistics: Statistics, frozen: bool, area: Rect, size: int) -> None:
    """Top right: a red dot and the time while it records, and that the picture is frozen."""
    top, right = area.y + margin(size), area.right - margin(size)
    if statistics.recording is not None:
        text, indent = _clock(statistics.recorded_seconds), round(size * 1.1)
        width = _width(text, size) + indent
        plate = Rect(right - width, top, width, round(size * _LABEL_HEIGHT))
        _draw_pill(picture, text, plate, size, indent=indent)
        center = (plate.x + round(size * 1.3), plate.y + plate.height // 2)
        cv2 = opencv()
        cv2.circle(picture, center, max(3, round(size * 0.36)), RED, -1, cv2.LINE_AA)
        top = plate.bottom + margin(size) // 2
    if frozen:
        width = _width("frozen", size)
        _draw_pill(picture, "frozen", Rect(right - width, top, width, round(size * _LABEL_HEIGHT)), size)


def draw_label(
    picture: Picture, text: str, x: int, bottom: int, size: int, *, align: Literal["left", "middle", "right"]
) -> None:
    """A word on a plate that ends above ``bottom``; to the left of column ``x``, across it or to its right.

    It is left out where it would reach beyond the picture: half a word tells nothing.
    """
    width, gap = _width(text, size), margin(size)
    place = {"left": x - gap - width, "middle": x - width // 2, "right": x + gap}[align]
    height = round(size * _LABEL_HEIGHT)
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


def statistics_rows(statistics: Statistics) -> list[tuple[str, str]]:
    """(what, value) for each line of the overlay."""
    now = statistics
    estimated = "--" if now.estimated is None else f"{now.estimated:.1f}"
    measured = now.latency.p95 > 0
    latency = f"p50 {now.latency.p50:.0f} ms, p95 {now.latency.p95:.0f} ms" if measured else "--"
    chosen = "auto" if now.automatic else "manual"
    return [
        ("noise", f"{estimated} estimated"),
        ("strength", f"{now.used:.1f} {chosen}" + ("" if now.mix == 1 else f", mix {now.mix:.0%}")),
        ("size", _size(now)),
        ("camera", f"{now.captured_fps:.1f} fps"),
        ("output", f"{now.shown_fps:.1f} fps"),
        ("dropped", f"{now.dropped}"),
        ("late", f"{now.late}"),
        ("latency", latency),
    ]


def _size(now: Statistics) -> str:
    if now.size is None:
        return "--"
    share = "" if now.scale == "1" else f", {now.scale}"
    return f"{now.size[0]}x{now.size[1]}{share}{' auto' if now.automatic_scale else ''}"


def draw_statistics(picture: Picture, statistics: Statistics, area: Rect, size: int) -> None:
    """The statistics, on a plate in the top left corner of the area; ``size`` is that of the text."""
    rows = statistics_rows(statistics)
    gap, inner = margin(size), round(size * 0.9)
    values = max(text_width(what, size) for what, _ in rows) + round(size * 1.1)
    widest = area.width - 2 * gap - 2 * inner
    under = [fitted(line, size, min(widest, 22 * size)) for line in (statistics.source, *statistics.outputs)]
    head = fitted(statistics.backend, size, widest)
    body = values + max(text_width(value, size) for _, value in rows)
    width = max(body, text_width(head, size, bold=True), *(text_width(line, size) for line in under))
    width = -(-width // size) * size  # in steps, so that the plate does not tremble with its digits
    step = round(size * _LEADING)
    height = step * (1 + len(rows) + len(under)) + round(step * 0.6)
    plate = Rect(area.x + gap, area.y + gap, width + 2 * inner, height + 2 * inner - (step - size))
    draw_plate(picture, plate, round(size * 0.6))
    x, y = plate.x + inner, plate.y + inner + round(size * 0.82)
    draw_text(picture, head, (x, y), size, ACCENT, bold=True)
    y += round(step * 0.3)
    for what, value in rows:
        y += step
        draw_text(picture, what, (x, y), size, DIM)
        draw_text(picture, value, (x + values, y), size, INK)
    y += round(step * 0.3)
    for line in under:
        y += step
        draw_text(picture, line, (x, y), size, DIM)


def draw_banner(picture: Picture, message: str, area: Rect, size: int, *, alarm: bool) -> int:
    """What the viewer must know, over the whole width: red and far from the edges for an alarm, at the bottom else.

    Returns:
        The first row that it takes at the bottom; the area's end for an alarm.
    """
    big = round(size * (1.5 if alarm else 1.15))
    lines = wrapped(message, big, round(area.width * 0.9), 3, bold=True)
    step = round(big * _LEADING)
    height = step * len(lines) + big
    y = area.y + round(area.height * _ALARM) if alarm else area.bottom - height
    plate = Rect(area.x, y, area.width, height)
    draw_plate(picture, plate, 0, color=(40, 40, 168) if alarm else PLATE, through=0.12)
    if not alarm:
        Rect(plate.x, plate.y, plate.width, max(2, size // 8)).of(picture)[:] = ACCENT
    baseline = y + (height - step * len(lines)) // 2 + round(step * 0.5 + big * 0.34)
    for line in lines:
        x = area.x + (area.width - text_width(line, big, bold=True)) // 2
        draw_text(picture, line, (x, baseline), big, INK, bold=True)
        baseline += step
    return area.bottom if alarm else y


def draw_help(picture: Picture, keys: Sequence[tuple[str, str]], area: Rect, size: int) -> None:
    """The keys and what they do, on a plate in the middle of the area; smaller text where they would not fit."""
    lines = len(keys) + 1.5
    size = min(size, int(area.height * 0.94 / (lines * _CARD_LEADING + 2.2)))
    step, inner = round(size * _CARD_LEADING), round(size * 1.4)
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
    y += round(size * _CARD_LEADING * 0.6)
    for line in wrapped(statistics.message or "", round(size * 1.15), room, 3):
        y += round(size * 1.15 * _CARD_LEADING)
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
