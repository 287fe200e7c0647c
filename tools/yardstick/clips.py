"""Clean clips and their noisy copies: one seeded definition, so that every tool gets the same planes.

White noise is added in RGB, as a sensor would, and clipped; the result, and the clean picture, go through the same
single conversion to 8-bit 4:2:0, BT.709, limited range. Or the clips are recorded as the cameras of
``tools/cameras.py`` would, with seeds that no training uses.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from cameras import h264, record, through_encoder
from numpy.typing import NDArray
from trainset import load_clip

from malle_rt.bench.peers import reformatted
from malle_rt.net.noise import Planes420
from yardstick.raw import luma

__all__ = [
    "Camera",
    "CleanClip",
    "NoiseKind",
    "NoisyClip",
    "Pictures",
    "White",
    "add_noise",
    "busiest_and_calmest",
    "camera_clip",
    "changes",
    "clean_clips",
    "find_clips",
    "fitted",
    "moves",
    "noise_level",
    "noisy_clip",
    "to_yuv420p",
    "white_noise",
]

Rgb = npt.NDArray[np.uint8]
BLOCK = 16
MOVING = 0.3  # codes: an encoded still camera has 0.1, a slow pan over smooth things 0.6


def changes(rgb: Rgb) -> npt.NDArray[np.float64]:
    """Mean change of each block of 16 x 16 pixels from frame to frame, in codes: (H // 16, W // 16)."""
    rows, columns = (side // BLOCK for side in rgb.shape[1:3])
    grey = rgb[:, : rows * BLOCK, : columns * BLOCK].mean(3)
    blocks = np.abs(np.diff(grey, axis=0)).reshape(-1, rows, BLOCK, columns, BLOCK)
    return np.asarray(blocks.mean((0, 2, 4)))


def moves(rgb: Rgb) -> bool:
    """Whether more than half of the picture (T, H, W, 3) moves; at least 16 x 16 pixels and two frames."""
    return bool(np.median(changes(rgb)) > MOVING)


def busiest_and_calmest(rgb: Rgb, size: tuple[int, int]) -> tuple[Rgb, Rgb]:
    """The parts of (width, height) that change most and least from frame to frame, of frames (T, H, W, 3)."""
    width, height = size
    change = changes(rgb)
    rows, columns = max(height // BLOCK, 1), max(width // BLOCK, 1)
    places = [
        (change[top : top + rows, left : left + columns].mean(), top * BLOCK, left * BLOCK)
        for top in range(change.shape[0] - rows + 1)
        for left in range(change.shape[1] - columns + 1)
        if top * BLOCK + height <= rgb.shape[1] and left * BLOCK + width <= rgb.shape[2]
    ]
    _, top, left = max(places)
    _, calm_top, calm_left = min(places)
    return (
        rgb[:, top : top + height, left : left + width],
        rgb[:, calm_top : calm_top + height, calm_left : calm_left + width],
    )


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
    return np.stack([reformatted(frame, "rgb24", "yuv420p") for frame in clip])


EVALUATION = 7_700_000  # added to the seed: training counts its own from 0
WHITE_LUMA = 0.65  # what white noise of sigma 1 in RGB has in BT.709 luma of limited range


def camera_clip(clip: CleanClip, camera: str, seed: int) -> NoisyClip:
    """Record a clip; sides that are no multiple of 4 lose up to 3 pixels.

    The clean frames that others are compared with are what the camera would have shown without noise and encoder.
    """
    height, width = (side // 4 * 4 for side in clip.rgb.shape[1:3])
    rgb = torch.from_numpy(clip.rgb[:, :height, :width].copy()).permute(0, 3, 1, 2).float().div(255)
    recorded = record(rgb, camera, torch.Generator().manual_seed(EVALUATION + seed), through_encoder)
    noisy, clean = (_pictures(planes) for planes in (recorded.noisy, recorded.clean))
    made = NoisyClip(clip.name, clean, noisy)
    return replace(made, moving=clip.moving, encoded=recorded.encoded)


def noise_level(clip: NoisyClip) -> float:
    """Sigma of the white RGB noise that would be as strong in luma; at least 0.5."""
    pairs = zip(clip.noisy, clip.clean, strict=True)
    errors = [np.square(luma(noisy).astype(np.float32) - luma(clean)).mean() for noisy, clean in pairs]
    return max(0.5, math.sqrt(float(np.mean(errors))) / WHITE_LUMA)


def _pictures(planes: Planes420) -> Pictures:
    frames, _, _, width = planes.y.shape
    flat = torch.cat([plane.reshape(frames, -1) for plane in planes], 1)
    pictures: NDArray[np.uint8] = flat.mul(255).round().byte().reshape(frames, -1, width).numpy()
    return pictures


@dataclass(frozen=True)
class White:
    """White noise in RGB, the same for all clips; tools are tuned for all of them together.

    Attributes:
        sigma: 8-bit scale.
        crf: constant rate factor of x264 that the noisy clips go through; None: they do not.
    """

    sigma: float
    crf: float | None = None

    @property
    def name(self) -> str:
        """As files say it."""
        return f"{self.sigma:g}"

    def noisy(self, clip: CleanClip, seed: int) -> NoisyClip:
        """The clip with noise of that seed."""
        made = white_noise(clip, self.sigma, seed)
        return made if self.crf is None else replace(made, noisy=h264(made.noisy, crf=self.crf))

    def tuned_together(self, clips: Sequence[NoisyClip]) -> list[tuple[float, Sequence[NoisyClip]]]:
        """What tools are tuned for in one search, and the sigma where it begins."""
        return [(self.sigma, clips)]


@dataclass(frozen=True)
class Camera:
    """A camera of ``tools/cameras.py``; each clip is a recording of its own, for which tools are tuned."""

    name: str

    def noisy(self, clip: CleanClip, seed: int) -> NoisyClip:
        """The clip as recorded with that seed."""
        return camera_clip(clip, self.name, seed)

    def tuned_together(self, clips: Sequence[NoisyClip]) -> list[tuple[float, Sequence[NoisyClip]]]:
        """Each clip by itself."""
        return [(noise_level(clip), [clip]) for clip in clips]


NoiseKind = White | Camera
