"""Shots as pictures: only the parts that are seen are converted, and no part of a shot twice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from malle_rt.frame import Frame, pixel_layout
from malle_rt.live.shot import Shot
from malle_rt.live.view.geometry import Picture, Size
from malle_rt.media.rgb import to_bgr
from malle_rt.opencv import opencv

__all__ = ["Pictures", "scaled"]

_STEP = 16  # columns: a multiple of every chroma subsampling, and what the converter is fast with


class Pictures:
    """Converts shots to BGR pictures of the same size, and remembers those of the last shot.

    A live picture is asked for once, so that only what is seen is converted. One that is asked for again (it is
    frozen, or the divider moves faster than the camera) is converted whole and then only cut.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[Frame, int, Picture]] = {}

    def raw(self, shot: Shot) -> Picture:
        """The picture as captured; the shot's own where it has no other. Read only, as everything from here."""
        return self._columns("raw", shot.raw or shot, 0, shot.width)

    def clean(self, shot: Shot) -> Picture:
        """The denoised picture."""
        return self._columns("clean", shot, 0, shot.width)

    def split(self, shot: Shot, column: int) -> Picture:
        """Raw to the left of that column, clean from there on."""
        if column <= 0:
            return self.clean(shot)
        if column >= shot.width:
            return self.raw(shot)
        picture = np.empty((shot.height, shot.width, 3), np.uint8)
        picture[:, :column] = self._columns("raw", shot.raw or shot, 0, column)
        picture[:, column:] = self._columns("clean", shot, column, shot.width)
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


def scaled(picture: Picture, size: Size) -> Picture:
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
