"""Clips as the cameras of ``tools/cameras.py`` would have recorded them, drawn by seeds that no training uses."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from cameras import record
from encoded import through_encoder
from numpy.typing import NDArray

from malle_rt.net.noise import Planes420
from yardstick.metrics import luma
from yardstick.noisy_clip import CleanClip, NoisyClip, Pictures

__all__ = ["camera_clip", "noise_level"]

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
