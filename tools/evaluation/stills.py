"""PSNR and SSIM on photographs with white noise, as the literature measures it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from skimage.metrics import structural_similarity
from torch import Tensor

__all__ = ["PICTURES", "Still", "load_stills", "measure", "noisy_still"]

PICTURES = {".png", ".webp", ".bmp", ".tif", ".tiff", ".jpg"}
Still = npt.NDArray[np.uint8]
"""(H, W, 3) RGB."""


def load_stills(folder: Path, limit: int | None = None) -> dict[str, Still]:
    """Pictures of a folder by name, in the order of their names."""
    found: dict[str, Still] = {}
    for path in sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES)[:limit]:
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if picture is None:
            raise ValueError(f"{path}: not a picture that can be read")
        found[path.stem] = np.ascontiguousarray(picture[..., ::-1], np.uint8)
    if not found:
        raise ValueError(f"{folder}: no pictures ({', '.join(sorted(PICTURES))})")
    return found


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
    denoise: Callable[[Tensor, float], Tensor], pictures: dict[str, Still], sigma: float
) -> dict[str, float]:
    """Mean PSNR in dB and SSIM over pictures, RGB, results rounded to 8 bits.

    Args:
        denoise: (1, 3, H, W) and sigma to (1, 3, H, W).
        pictures: clean ones.
        sigma: of the noise, 8-bit scale.
    """
    psnr, ssim = [], []
    for seed, clean in enumerate(pictures.values()):
        with torch.inference_mode():
            output = denoise(noisy_still(clean, sigma, seed), sigma)
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
