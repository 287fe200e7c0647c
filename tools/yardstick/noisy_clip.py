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

__all__ = ["NoisyClip", "Pictures", "add_noise", "find_clips", "fitted", "noisy_clip", "to_yuv420p"]

Pictures = npt.NDArray[np.uint8]
"""(T, H * 3 // 2, W): Y, then U and V, as FFmpeg stores raw yuv420p; W and H even."""

VIDEO = {".avi", ".m4v", ".mkv", ".mov", ".mp4", ".nut", ".webm", ".y4m"}


@dataclass(frozen=True, eq=False)
class NoisyClip:
    """One clip, clean and noisy.

    Attributes:
        name: of the file or folder.
        clean, noisy: (T, H * 3 // 2, W) each.
    """

    name: str
    clean: Pictures
    noisy: Pictures

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
    clean = fitted(load_clip(path, frames), size)
    return NoisyClip(path.stem, to_yuv420p(clean), to_yuv420p(add_noise(clean, sigma, seed)))


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
