"""What the window shows, as one picture: no display, no clock, the same arguments give the same pixels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from malle_rt.frame import Frame, pixel_layout
from malle_rt.live.frame import LiveFrame
from malle_rt.live.statistics import Statistics
from malle_rt.live.view.console import ViewSettings
from malle_rt.live.view.drawing import (
    BACKGROUND,
    BLACK,
    Picture,
    Rect,
    Size,
    filled,
    fit,
    halves,
    shade,
    text_size,
)
from malle_rt.live.view.keys import key_help
from malle_rt.live.view.overlay import (
    draw_badges,
    draw_banner,
    draw_divider,
    draw_help,
    draw_label,
    draw_statistics,
    draw_waiting,
)
from malle_rt.media.drawn_text import fitted
from malle_rt.media.rgb import to_bgr
from malle_rt.opencv import opencv

__all__ = ["Pictures", "compose", "picture_area"]

# Brightness of a picture that is not the thing to look at: the last one of a lost source, or one behind a card.
_DARK = 0.4
_STEP = 16  # columns: a multiple of every chroma subsampling, and what the converter is fast with


def compose(
    frame: LiveFrame | None,
    statistics: Statistics,
    settings: ViewSettings,
    size: Size,
    pictures: Pictures | None = None,
) -> Picture:
    """Draw the window's picture.

    Args:
        frame: what to show; None before the first one.
        statistics: of the session, for the overlay and the banners.
        settings: what the viewer has chosen.
        size: width and height to draw at; the window shows it unscaled.
        pictures: where conversions of earlier calls are found, None: convert anew. Changes nothing but the time.

    Returns:
        (height, width, 3) uint8, BGR; the caller's to change.
    """
    area, text = Rect(0, 0, *size), text_size(size)
    if frame is None:
        picture = filled(size, BACKGROUND)
        draw_waiting(picture, statistics, area, text)
    else:
        picture = _views(frame, settings, area, pictures or Pictures())
        _draw_over(picture, statistics, settings, (frame.width, frame.height), text)
    if settings.help:
        shade(picture, _DARK)
        draw_help(picture, key_help(), area, text)
    return picture


def picture_area(frame: LiveFrame, size: Size) -> Rect:
    """Where the one picture of the views "split", "raw" and "clean" lies in a window of that size."""
    return fit((frame.width, frame.height), Rect(0, 0, *size))


def _views(frame: LiveFrame, settings: ViewSettings, area: Rect, pictures: Pictures) -> Picture:
    """The frame as it is wanted to be seen, on black."""
    if settings.view == "side":
        picture = filled(area.size, BLACK)
        places = _side_places((frame.width, frame.height), area)
        for part, place in zip((pictures.raw(frame), pictures.clean(frame)), places, strict=True):
            place.of(picture)[:] = _scaled(part, place.size)
        line = max(2, area.width // 320)
        Rect(places[0].right - line // 2, 0, line, area.height).of(picture)[:] = BLACK
        return picture
    if settings.view == "split":
        part = pictures.split(frame, round(settings.divider * frame.width))
    else:
        part = pictures.raw(frame) if settings.view == "raw" else pictures.clean(frame)
    return _framed(part, picture_area(frame, area.size), area.size)


def _side_places(source: Size, area: Rect) -> tuple[Rect, Rect]:
    """Where the raw and the clean picture lie side by side."""
    left, right = halves(area)
    return fit(source, left), fit(source, right)


def _framed(part: Picture, inside: Rect, size: Size) -> Picture:
    """The part _scaled to its place, with black around it; a picture of its own."""
    part = _scaled(part, inside.size)
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


class Pictures:
    """Converts frames to BGR pictures of the same size, and remembers those of the last frame.

    A live picture is asked for once, so that only what is seen is converted. One that is asked for again (it is
    frozen, or the divider moves faster than the camera) is converted whole and then only cut.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[Frame, int, Picture]] = {}

    def raw(self, frame: LiveFrame) -> Picture:
        """The picture as captured; the frame's own where it has no other. Read only, as everything from here."""
        return self._columns("raw", frame.raw or frame, 0, frame.width)

    def clean(self, frame: LiveFrame) -> Picture:
        """The denoised picture."""
        return self._columns("clean", frame, 0, frame.width)

    def split(self, frame: LiveFrame, column: int) -> Picture:
        """Raw to the left of that column, clean from there on."""
        if column <= 0:
            return self.clean(frame)
        if column >= frame.width:
            return self.raw(frame)
        picture = np.empty((frame.height, frame.width, 3), np.uint8)
        picture[:, :column] = self._columns("raw", frame.raw or frame, 0, column)
        picture[:, column:] = self._columns("clean", frame, column, frame.width)
        return picture

    def _columns(self, which: str, frame: Frame, begin: int, end: int) -> Picture:
        """Columns ``begin`` to ``end`` of a frame."""
        known = self._known.get(which)
        again = known is not None and known[0] is frame
        if known is None or not again or not known[1] <= begin <= end <= known[1] + known[2].shape[1]:
            first = 0 if again else begin // _STEP * _STEP
            last = frame.width if again else min(-(-end // _STEP) * _STEP, frame.width)
            known = (frame, first, to_bgr(_cut(frame, first, last)))
            self._known[which] = known
        _, first, picture = known
        return picture[:, begin - first : end - first]


def _scaled(picture: Picture, size: Size) -> Picture:
    """The picture in another size; itself where it has that size."""
    cv2 = opencv()
    height, width = picture.shape[:2]
    factor = min(width // size[0], height // size[1])
    if factor >= 2:
        # Areas are averaged ten times as fast by whole factors, which cost less than one shown pixel at the edges.
        whole = picture[: height // factor * factor, : width // factor * factor]
        picture = cv2.resize(whole, (width // factor, height // factor), interpolation=cv2.INTER_AREA)
        height, width = picture.shape[:2]
    if (width, height) == size:
        return picture
    larger = size[0] > width
    resized = cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC if larger else cv2.INTER_LINEAR)
    return np.asarray(resized, np.uint8)


def _cut(frame: Frame, first: int, last: int) -> Frame:
    """Some columns of a frame as views of its planes; ``first`` is a multiple of the chroma subsampling."""
    if (first, last) == (0, frame.width):
        return frame
    across = (pixel_layout(frame.pix_fmt).chroma or (0, 0))[0]
    planes = tuple(
        plane[:, first >> shift : -(-last >> shift)]
        for plane, shift in zip(frame.planes, (0, across, across), strict=False)
    )
    return replace(frame, planes=planes)
