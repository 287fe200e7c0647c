"""How close two planes are."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from skimage.metrics import structural_similarity

__all__ = ["chroma", "luma", "psnr", "ssim"]

Luma = npt.NDArray[np.uint8]
Chroma = npt.NDArray[np.uint8]


def luma(picture: npt.NDArray[np.uint8]) -> Luma:
    """Y of a raw yuv420p picture (H * 3 // 2, W): its first H rows."""
    return picture[: picture.shape[0] * 2 // 3]


def chroma(picture: npt.NDArray[np.uint8]) -> tuple[Chroma, Chroma]:
    """U and V of a raw yuv420p picture (H * 3 // 2, W): (H / 2, W / 2) each."""
    height, width = picture.shape[0] * 2 // 3, picture.shape[1]
    u, v = picture[height:].reshape(2, height // 2, width // 2)
    return u, v


def psnr(clean: Luma, other: Luma) -> float:
    """Peak signal to noise ratio in dB for a peak of 255; infinite for equal planes."""
    error = np.mean(np.square(clean.astype(np.float32) - other), dtype=np.float64)
    return float(10 * np.log10(255**2 / error)) if error else float("inf")


def ssim(clean: Luma, other: Luma) -> float:
    """Structural similarity as Wang et al. define it (2004): an 11 x 11 Gaussian window of 1.5 pixels; at most 1."""
    return float(
        structural_similarity(  # type: ignore[no-untyped-call]  # scikit-image annotates nothing
            clean, other, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
    )
