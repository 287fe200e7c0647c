"""Raw 4:2:0 pictures: in memory, as frames of PyAV, as files, as a PNG to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from malle_rt.frame import ColorTags, Frame
from malle_rt.media.rgb import to_rgb

__all__ = [
    "FRAME_RATE",
    "Chroma",
    "Luma",
    "Picture",
    "RawVideo",
    "chroma",
    "luma",
    "save_picture",
    "to_frame",
    "to_picture",
]

Luma = npt.NDArray[np.uint8]
Chroma = npt.NDArray[np.uint8]

Picture = npt.NDArray[np.uint8]
"""(H * 3 // 2, W): Y, then U and V, as FFmpeg stores raw yuv420p; W and H even."""

_BT709_LIMITED = ColorTags(color_range=1, colorspace=1, primaries=1, transfer=1)


def to_frame(picture: Picture, number: int = 0) -> Frame:
    """The frame of that number at 25 frames per second, BT.709, limited range."""
    height, width = picture.shape[0] * 2 // 3, picture.shape[1]
    u, v = picture[height:].reshape(2, height // 2, width // 2)
    return Frame((picture[:height], u, v), "yuv420p", number, Fraction(1, 25), 1, _BT709_LIMITED)


def to_picture(frame: Frame) -> Picture:
    """A frame in yuv420p as a raw picture."""
    flat = np.concatenate([np.asarray(plane).reshape(-1) for plane in frame.planes])
    return flat.astype(np.uint8, copy=False).reshape(frame.height * 3 // 2, frame.width)


FRAME_RATE = 25  # of all clips: no tool here looks at the time between frames


@dataclass(frozen=True)
class RawVideo:
    """A file of raw 8-bit yuv420p frames.

    Attributes:
        path: of the file.
        size: (width, height), both even.
        frames: how many.
    """

    path: Path
    size: tuple[int, int]
    frames: int

    @classmethod
    def write(cls, path: Path, pictures: npt.NDArray[np.uint8]) -> RawVideo:
        """Write (T, H * 3 // 2, W)."""
        pictures.tofile(path)
        frames, rows, width = pictures.shape
        return cls(path, (width, rows * 2 // 3), frames)

    def read(self) -> npt.NDArray[np.uint8]:
        """(T, H * 3 // 2, W).

        Raises:
            ValueError: the file does not hold the frames it should: a tool dropped or repeated some.
        """
        width, height = self.size
        samples = np.fromfile(self.path, np.uint8)
        if samples.size != self.frames * width * height * 3 // 2:
            got = samples.size / (width * height * 3 // 2)
            raise ValueError(f"{self.path}: expected {self.frames} frames, got {got:g}")
        return samples.reshape(self.frames, height * 3 // 2, width)

    def input_options(self) -> list[str]:
        """How to tell ffmpeg what it reads."""
        width, height = self.size
        form = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-video_size", f"{width}x{height}"]
        return [*form, "-framerate", str(FRAME_RATE), "-i", str(self.path)]


CROP = (220, 160)  # width, height
ZOOM = 2
LINE = 24  # height of a label
PER_ROW = 3


def save_picture(path: Path, tiles: Sequence[tuple[str, Picture]]) -> None:
    """Write a PNG of labelled crops from the middle of raw yuv420p pictures (H * 3 // 2, W) of one size."""
    drawn = [_tile(label, picture) for label, picture in tiles]
    drawn += [np.zeros_like(drawn[0])] * (-len(drawn) % PER_ROW)
    rows = [np.hstack(drawn[first : first + PER_ROW]) for first in range(0, len(drawn), PER_ROW)]
    cv2.imwrite(str(path), np.vstack(rows)[..., ::-1])


def _tile(label: str, picture: Picture) -> Picture:
    rgb = to_rgb(to_frame(picture))
    height, width = rgb.shape[:2]
    across, down = min(CROP[0], width), min(CROP[1], height)
    left, top = (width - across) // 2, (height - down) // 2
    crop = rgb[top : top + down, left : left + across].repeat(ZOOM, 0).repeat(ZOOM, 1)
    strip = np.zeros((LINE, crop.shape[1], 3), np.uint8)
    cv2.putText(strip, label, (6, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
    return np.vstack((strip, crop))


def luma(picture: npt.NDArray[np.uint8]) -> Luma:
    """Y of a raw yuv420p picture (H * 3 // 2, W): its first H rows."""
    return picture[: picture.shape[0] * 2 // 3]


def chroma(picture: npt.NDArray[np.uint8]) -> tuple[Chroma, Chroma]:
    """U and V of a raw yuv420p picture (H * 3 // 2, W): (H / 2, W / 2) each."""
    height, width = picture.shape[0] * 2 // 3, picture.shape[1]
    u, v = picture[height:].reshape(2, height // 2, width // 2)
    return u, v
