"""Photographs: reading them, and PSNR and SSIM on them with white noise, as the literature measures it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from skimage.metrics import structural_similarity
from torch import Tensor, nn

from malle_rt.errors import ConfigError, SourceError
from malle_rt.measuring import psnr

__all__ = [
    "SUFFIXES",
    "Picture",
    "Still",
    "StillDenoiser",
    "load_stills",
    "measure",
    "noisy_still",
    "picture_files",
    "psnr_of",
    "read_picture",
]

SUFFIXES = {".avif", ".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
Picture = npt.NDArray[np.uint8]
"""(H, W, 3) RGB."""


def picture_files(folder: Path, limit: int | None = None) -> list[Path]:
    """Pictures of a folder in the order of their names.

    Args:
        folder: what else lies in it is passed over.
        limit: the first so many; None for all.

    Raises:
        ConfigError: it is no folder that can be read, or holds no pictures.
    """
    try:
        found = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)[:limit]
    except OSError as exc:
        raise ConfigError(f"{folder}: not a folder that can be read ({exc.strerror})") from exc
    if not found:
        raise ConfigError(f"{folder}: no pictures ({', '.join(sorted(SUFFIXES))})")
    return found


def read_picture(path: Path) -> Picture:
    """Decode a picture to 8-bit RGB; transparency is dropped, rotation tags are not followed.

    Raises:
        SourceError: it is damaged, or this Pillow does not know the format.
    """
    try:
        with Image.open(path) as file:
            return np.array(file.convert("RGB"), np.uint8)
    except (OSError, SyntaxError, ValueError) as exc:  # what Pillow's decoders raise on damaged files
        hint = "; AVIF needs Pillow 11.3 or newer" if path.suffix.lower() == ".avif" else ""
        raise SourceError(f"{path}: not a picture that can be read ({exc}{hint})") from exc


Still = Picture
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
    decibels, ssim = [], []
    for own_seed, clean in enumerate(pictures.values(), seed):
        with torch.inference_mode():
            output = denoise(noisy_still(clean, sigma, own_seed), sigma)
        result = output[0].clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).numpy()
        decibels.append(psnr(result, clean))
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
    return {"psnr": float(np.mean(decibels)), "ssim": float(np.mean(ssim))}


@torch.inference_mode()
def psnr_of(net: nn.Module, pictures: dict[str, Still], sigma: float, device: torch.device) -> float:
    """Mean PSNR in dB, RGB, results rounded to 8 bits; the noise is that of ``measure``, picture for picture.

    Args:
        net: (1, 3, H, W) noisy to the same denoised, in eval mode on ``device``.
        pictures: clean ones by name.
        sigma: of the noise, 8-bit scale.
        device: where to compute.
    """
    values = []
    for seed, clean in enumerate(pictures.values()):
        output = net(noisy_still(clean, sigma, seed).to(device))
        result = output[0].clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).cpu().numpy()
        values.append(psnr(result, clean))
    return float(np.mean(values))
