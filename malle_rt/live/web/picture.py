"""A shot as the page gets it: JPEGs behind a small header."""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from malle_rt.frame import Frame
from malle_rt.live.shot import Shot
from malle_rt.live.views import View
from malle_rt.media.rgb import to_rgb
from malle_rt.opencv import opencv

__all__ = ["PARTS_OF", "Part", "Picture", "encode_jpeg", "part_of"]

Part = Literal["raw", "clean"]
# What a page must have to draw a view.
PARTS_OF: Mapping[View, frozenset[Part]] = {
    "split": frozenset({"raw", "clean"}),
    "side": frozenset({"raw", "clean"}),
    "raw": frozenset({"raw"}),
    "clean": frozenset({"clean"}),
}
# Little-endian: number (a double, exact up to 2^53), age in ms, width and height of the video, bytes of the clean and
# of the raw JPEG. The page reads the same in picture.js.
_HEADER = struct.Struct("<dfHHII")
# Wider pictures are sent at this width: a browser scales them anyway, and a link may be slow.
_WIDEST = 1280
_QUALITY = 85


@dataclass(frozen=True, eq=False)
class Picture:
    """A shot and the JPEGs that have been made of it.

    Attributes:
        number: position in the session; larger is newer.
        shot: what it shows.
        jpegs: its parts, encoded.
    """

    number: int
    shot: Shot
    jpegs: Mapping[Part, bytes]

    def message(self, view: View) -> bytes:
        """Header, clean and raw JPEG, of which those are empty that the view does not need."""
        clean, raw = (self.jpegs[part] if part in PARTS_OF[view] else b"" for part in ("clean", "raw"))
        age = (time.monotonic() - self.shot.captured) * 1000
        size = self.shot.width, self.shot.height
        return _HEADER.pack(self.number, age, *size, len(clean), len(raw)) + clean + raw


def part_of(shot: Shot, part: Part) -> Frame:
    """The denoised frame, or the captured one of the same instant."""
    return shot.raw if part == "raw" and shot.raw is not None else shot


def encode_jpeg(frame: Frame) -> bytes:
    """A JPEG to look at, at most 1280 wide."""
    rgb: npt.NDArray[np.uint8] = to_rgb(frame)
    height, width = rgb.shape[:2]
    cv2 = opencv()
    if width > _WIDEST:
        size = (_WIDEST, max(1, round(height * _WIDEST / width)))
        rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    return bytes(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1])
