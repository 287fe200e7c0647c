"""PSNR and SSIM on photographs with white noise, as the literature measures it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from skimage.metrics import structural_similarity
from torch import Tensor

from evaluation.pictures import Picture as Still
from evaluation.pictures import picture_files, read_picture

__all__ = ["Still", "StillDenoiser", "load_stills", "measure", "noisy_still"]

StillDenoiser = Callable[[Tensor, float], Tensor]
"""(1, 3, H, W) RGB, 1 is white, and the sigma of its noise, 8-bit scale, to the same."""


def load_stills(folder: Path, limit: int | None = None) -> dict[str, Still]:
    """Pictures of a folder by their files' names, in the order of those.

    Raises:
        ConfigError: it is no folder that can be read, or holds no pictures.
        SourceError: a picture is damaged.
    """
    return {path.name: read_picture(path) for path in picture_files(folder, limit)}


def noisy_still(clean: Still, sigma: float, seed: int) -> Tensor:
    """White Gaussian noise on RGB, neither clipped nor rounded, as the published figures have it.

    Args:
        clean: the picture.
        sigma: standard deviation, 8-bit scale.
        seed: of this picture.

    Returns:
        (1, 3, H, W) float32, 1 is white; it leaves [0, 1].
    """
    noise = np.random.default_rng(seed).standard_normal(clean.shape, np.float32) * np.float32(sigma)
    picture = (clean.astype(np.float32) + noise) / 255
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))[None]


def measure(
    denoise: StillDenoiser, pictures: dict[str, Still], sigma: float, seed: int = 0
) -> dict[str, float]:
    """Mean PSNR in dB and SSIM over pictures, RGB, results rounded to 8 bits.

    Args:
        denoise: to be measured.
        pictures: clean ones.
        sigma: of the noise, 8-bit scale.
        seed: of the first picture; each has the next one.
    """
    psnr, ssim = [], []
    for own_seed, clean in enumerate(pictures.values(), seed):
        with torch.inference_mode():
            output = denoise(noisy_still(clean, sigma, own_seed), sigma)
        result = output[0].clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).numpy()
        error = np.square(result.astype(np.float64) - clean).mean()
        psnr.append(float("inf") if error == 0 else 10 * np.log10(255**2 / error))
        ssim.append(
            structural_similarity(  # type: ignore[no-untyped-call]  # scikit-image annotates nothing
                clean,
                result,
                channel_axis=2,
                data_range=255,
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
            )
        )
    return {"psnr": float(np.mean(psnr)), "ssim": float(np.mean(ssim))}
