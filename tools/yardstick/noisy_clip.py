"""Clean clips and their noisy copies: one seeded definition, so that every tool gets the same planes.

Noise is added in RGB, as a sensor would, and clipped; the result, and the clean picture, go through the same single
conversion to 8-bit 4:2:0, BT.709, limited range.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.video.reformatter import ColorRange, Colorspace
from trainset import load_clip

from yardstick.motion import busiest_and_calmest, moves

__all__ = [
    "CleanClip",
    "NoisyClip",
    "Pictures",
    "add_noise",
    "clean_clips",
    "find_clips",
    "fitted",
    "noisy_clip",
    "to_yuv420p",
    "white_noise",
]

Pictures = npt.NDArray[np.uint8]
"""(T, H * 3 // 2, W): Y, then U and V, as FFmpeg stores raw yuv420p; W and H even."""

VIDEO = {".avi", ".m4v", ".mkv", ".mov", ".mp4", ".nut", ".webm", ".y4m"}


@dataclass(frozen=True, eq=False)
class CleanClip:
    """A clip as it was found, or a part of it.

    Attributes:
        name: of the file or folder, and of the part.
        rgb: (T, H, W, 3), sides even.
    """

    name: str
    rgb: npt.NDArray[np.uint8]

    @property
    def moving(self) -> bool:
        """Whether most of the picture moves."""
        return len(self.rgb) > 1 and min(self.rgb.shape[1:3]) >= 16 and moves(self.rgb)


@dataclass(frozen=True, eq=False)
class NoisyClip:
    """One clip, clean and noisy.

    Attributes:
        name: of the file or folder.
        clean, noisy: (T, H * 3 // 2, W) each.
        moving: whether most of the picture moves.
        encoded: whether an encoder was at it.
    """

    name: str
    clean: Pictures
    noisy: Pictures
    moving: bool = False
    encoded: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.clean.shape[2], self.clean.shape[1] * 2 // 3


def find_clips(places: list[Path]) -> list[Path]:
    """Clips at the places given: video files, folders of pictures, and what lies in folders of those."""
    found: list[Path] = []
    for place in places:
        inside = sorted(place.iterdir()) if place.is_dir() else []
        clips = [path for path in inside if path.is_dir() or path.suffix.lower() in VIDEO]
        found += clips or [place]
    return found


def noisy_clip(path: Path, size: tuple[int, int], frames: int, sigma: float, seed: int) -> NoisyClip:
    """Load, scale to fit ``size``, add noise of ``sigma`` (8-bit scale), convert."""
    return white_noise(clean_clips(path, size, frames)[0], sigma, seed)


def clean_clips(
    path: Path, size: tuple[int, int], frames: int, crop: tuple[int, int] | None = None
) -> list[CleanClip]:
    """The clip, scaled to fit ``size``; with ``crop`` (width, height) also its busiest and its calmest part, unscaled.

    A clip that is no larger than the crop has no parts.
    """
    rgb = load_clip(path, frames)
    whole = CleanClip(path.stem, fitted(rgb, size))
    if crop is None or crop[0] >= rgb.shape[2] or crop[1] >= rgb.shape[1]:
        return [whole]
    busy, calm = busiest_and_calmest(rgb, crop)
    return [whole, CleanClip(f"{path.stem} busiest", busy), CleanClip(f"{path.stem} calmest", calm)]


def white_noise(clip: CleanClip, sigma: float, seed: int) -> NoisyClip:
    """Add noise of ``sigma`` (8-bit scale), convert."""
    noisy = to_yuv420p(add_noise(clip.rgb, sigma, seed))
    return NoisyClip(clip.name, to_yuv420p(clip.rgb), noisy, clip.moving)


def fitted(clip: Pictures, size: tuple[int, int]) -> Pictures:
    """RGB frames (T, H, W, 3) scaled down to fit (width, height), by area; smaller ones keep their size.

    Sides become even, as 4:2:0 stored raw wants them.
    """
    height, width = clip.shape[1:3]
    scale = min(1.0, size[0] / width, size[1] / height)
    target = (2 * round(width * scale / 2), 2 * round(height * scale / 2))
    if scale == 1:
        return clip[:, : height // 2 * 2, : width // 2 * 2]
    return np.stack([cv2.resize(frame, target, interpolation=cv2.INTER_AREA) for frame in clip]).astype(
        np.uint8
    )


def add_noise(clip: Pictures, sigma: float, seed: int) -> Pictures:
    """White Gaussian noise of ``sigma`` (8-bit scale) on RGB frames (T, H, W, 3), rounded and clipped.

    One generator per frame: a frame's noise does not depend on how many come before, and scales with sigma.
    """
    noisy = np.empty_like(clip)
    for index, frame in enumerate(clip):
        random = np.random.default_rng((seed, index))
        noise = random.standard_normal(frame.shape, np.float32) * np.float32(sigma)
        noisy[index] = np.rint(np.clip(frame + noise, 0, 255)).astype(np.uint8)
    return noisy


def to_yuv420p(clip: Pictures) -> Pictures:
    """RGB frames (T, H, W, 3) as (T, H * 3 // 2, W), by libswscale."""
    return np.stack([_converted(frame) for frame in clip])


def _converted(frame: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24").reformat(
        format="yuv420p",
        dst_colorspace=Colorspace.ITU709,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.MPEG,
    )
    return picture.to_ndarray().astype(np.uint8, copy=False)
