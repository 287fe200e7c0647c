"""A frame as the page gets it: JPEGs behind a small header, made in a thread of their own while somebody waits."""

from __future__ import annotations

import logging
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from malle_rt.frame import Frame
from malle_rt.live.frame import Latest, LiveFrame, View
from malle_rt.media.rgb import to_rgb
from malle_rt.opencv import opencv

__all__ = ["PARTS_OF", "Encoder", "Part", "Picture", "encode_jpeg", "part_of"]

log = logging.getLogger(__name__)

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
# Seconds after which a wait for the next frame looks whether it is still wanted.
_LOOK = 0.2


@dataclass(frozen=True, eq=False)
class Picture:
    """A frame and the JPEGs that have been made of it.

    Attributes:
        number: position in the session; larger is newer.
        frame: what it shows.
        jpegs: its parts, encoded.
    """

    number: int
    frame: LiveFrame
    jpegs: Mapping[Part, bytes]

    def message(self, view: View) -> bytes:
        """Header, clean and raw JPEG, of which those are empty that the view does not need."""
        clean, raw = (self.jpegs[part] if part in PARTS_OF[view] else b"" for part in ("clean", "raw"))
        age = (time.monotonic() - self.frame.captured) * 1000
        size = self.frame.width, self.frame.height
        return _HEADER.pack(self.number, age, *size, len(clean), len(raw)) + clean + raw


def part_of(frame: LiveFrame, part: Part) -> Frame:
    """The denoised frame, or the captured one of the same instant."""
    return frame.raw if part == "raw" and frame.raw is not None else frame


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


class Encoder:
    """Encodes each frame at most once, and none that nobody waits for.

    It works on one frame at a time, the newest, so that pictures never queue up behind a slow processor.
    """

    def __init__(self, latest: Latest, deliver: Callable[[Picture], None]) -> None:
        """Start the thread. ``deliver`` is called in it, with every picture made."""
        self._latest = latest
        self._deliver = deliver
        self._changed = threading.Condition()
        self._wanted: frozenset[Part] = frozenset()
        self._closing = self._failed = False
        self._thread = threading.Thread(target=self._run, name="malle-web-jpeg")
        self._thread.start()

    def want(self, parts: frozenset[Part]) -> None:
        """What the next pictures must hold; nothing is made while it is empty. From any thread."""
        with self._changed:
            self._wanted = parts
            self._changed.notify()

    def close(self) -> None:
        """End the thread. May be called twice."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        picture: Picture | None = None
        while self._wait_until_wanted():
            number, frame = self._latest.wait(picture.number if picture else 0, _LOOK)
            if frame is not None:
                picture = Picture(number, frame, {})
            # Without a new frame there may still be a part that was not wanted before; and those who wanted a frame
            # may have left while it was awaited.
            if picture is None or not (missing := self._wanted - picture.jpegs.keys()):
                continue
            if made := self._encode(picture, missing):
                picture = Picture(picture.number, picture.frame, {**picture.jpegs, **made})
                self._deliver(picture)

    def _encode(self, picture: Picture, parts: frozenset[Part]) -> dict[Part, bytes]:
        """The parts; nothing where that failed, and it is tried again with the next frame, or after a while."""
        try:
            return {part: encode_jpeg(part_of(picture.frame, part)) for part in sorted(parts)}
        except Exception:
            # One odd frame must not end the page for the rest of the session; told once, not for every frame.
            if not self._failed:
                log.exception("a picture could not be encoded for the page")
            self._failed = True
            return {}

    def _wait_until_wanted(self) -> bool:
        """False when it is time to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._wanted or self._closing)
            return not self._closing
