"""What the window shows, as one picture: no display, no clock, the same arguments give the same pixels."""

from __future__ import annotations

import numpy as np

from malle_rt.live.shot import Shot
from malle_rt.live.statistics import Statistics
from malle_rt.live.view.cards import draw_help, draw_waiting
from malle_rt.live.view.geometry import Picture, Rect, Size, fit, halves
from malle_rt.live.view.key_table import key_help
from malle_rt.live.view.labels import draw_badges, draw_divider, draw_label
from malle_rt.live.view.overlay import draw_banner, draw_statistics
from malle_rt.live.view.pictures import Pictures, scaled
from malle_rt.live.view.plates import filled, shade
from malle_rt.live.view.settings import ViewSettings
from malle_rt.live.view.theme import BACKGROUND, BLACK, text_size
from malle_rt.media.drawn_text import fitted
from malle_rt.opencv import opencv

__all__ = ["compose", "picture_area"]

# Brightness of a picture that is not the thing to look at: the last one of a lost source, or one behind a card.
_DARK = 0.4


def compose(
    shot: Shot | None,
    statistics: Statistics,
    settings: ViewSettings,
    size: Size,
    pictures: Pictures | None = None,
) -> Picture:
    """Draw the window's picture.

    Args:
        shot: what to show; None before the first one.
        statistics: of the session, for the overlay and the banners.
        settings: what the viewer has chosen.
        size: width and height to draw at; the window shows it unscaled.
        pictures: where conversions of earlier calls are found, None: convert anew. Changes nothing but the time.

    Returns:
        (height, width, 3) uint8, BGR; the caller's to change.
    """
    area, text = Rect(0, 0, *size), text_size(size)
    if shot is None:
        picture = filled(size, BACKGROUND)
        draw_waiting(picture, statistics, area, text)
    else:
        picture = _views(shot, settings, area, pictures or Pictures())
        _draw_over(picture, statistics, settings, (shot.width, shot.height), text)
    if settings.help:
        shade(picture, _DARK)
        draw_help(picture, key_help(), area, text)
    return picture


def picture_area(shot: Shot, size: Size) -> Rect:
    """Where the one picture of the views "split", "raw" and "clean" lies in a window of that size."""
    return fit((shot.width, shot.height), Rect(0, 0, *size))


def _views(shot: Shot, settings: ViewSettings, area: Rect, pictures: Pictures) -> Picture:
    """The shot as it is wanted to be seen, on black."""
    if settings.view == "side":
        picture = filled(area.size, BLACK)
        places = _side_places((shot.width, shot.height), area)
        for part, place in zip((pictures.raw(shot), pictures.clean(shot)), places, strict=True):
            place.of(picture)[:] = scaled(part, place.size)
        line = max(2, area.width // 320)
        Rect(places[0].right - line // 2, 0, line, area.height).of(picture)[:] = BLACK
        return picture
    if settings.view == "split":
        part = pictures.split(shot, round(settings.divider * shot.width))
    else:
        part = pictures.raw(shot) if settings.view == "raw" else pictures.clean(shot)
    return _framed(part, picture_area(shot, area.size), area.size)


def _side_places(source: Size, area: Rect) -> tuple[Rect, Rect]:
    """Where the raw and the clean picture lie side by side."""
    left, right = halves(area)
    return fit(source, left), fit(source, right)


def _framed(part: Picture, inside: Rect, size: Size) -> Picture:
    """The part scaled to its place, with black around it; a picture of its own."""
    part = scaled(part, inside.size)
    if inside.size == size:
        return np.array(part)
    below, right = size[1] - inside.bottom, size[0] - inside.right
    cv2 = opencv()
    framed = cv2.copyMakeBorder(part, inside.y, below, inside.x, right, cv2.BORDER_CONSTANT, value=BLACK)
    return np.asarray(framed, np.uint8)


def _draw_over(
    picture: Picture, statistics: Statistics, settings: ViewSettings, source: Size, text: int
) -> None:
    """Everything that is written over frames of the size ``source``; ``text`` is the text's size."""
    area = Rect(0, 0, picture.shape[1], picture.shape[0])
    gone = statistics.state in ("lost", "ended")
    bottom = area.bottom
    if gone:
        shade(picture, _DARK)
    elif statistics.message:
        bottom = draw_banner(picture, statistics.message, area, text, alarm=False)
    if not settings.help:
        _draw_labels(picture, settings, source, bottom, text)
        if settings.overlay:
            draw_statistics(picture, statistics, area, text)
    draw_badges(picture, statistics, settings.frozen, area, text)
    if gone:
        draw_banner(picture, statistics.message or "No picture from the source", area, text, alarm=True)
    if settings.notice and not settings.help:
        notice = fitted(settings.notice, text, area.width - 4 * text)
        draw_label(picture, notice, area.width // 2, bottom - 3 * text, text, align="middle")


def _draw_labels(picture: Picture, settings: ViewSettings, source: Size, bottom: int, text: int) -> None:
    """Which picture is which, and the divider, all above row ``bottom``."""
    area = Rect(0, 0, picture.shape[1], picture.shape[0])
    sides = _side_places(source, area)
    inside = sides[0] if settings.view == "side" else fit(source, area)
    bottom = min(bottom, inside.bottom)
    if settings.view == "side":
        for word, side in zip(("raw", "clean"), sides, strict=True):
            draw_label(picture, word, side.x + side.width // 2, bottom, text, align="middle")
    elif settings.view == "split":
        x = inside.x + round(settings.divider * inside.width)
        draw_divider(picture, x, inside, bottom, text)
        draw_label(picture, "raw", x, bottom, text, align="left")
        draw_label(picture, "clean", x, bottom, text, align="right")
    else:
        draw_label(picture, settings.view, inside.x + inside.width // 2, bottom, text, align="middle")
