"""What a video denoiser does to clips with known noise: closeness, steadiness, first second, cuts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from yardstick.clips import NoisyClip, Pictures, add_noise, fitted, noisy_clip, to_yuv420p
from yardstick.raw import luma
from yardstick.result import ssim

from malle_rt.errors import SourceError
from malle_rt.measuring import psnr

__all__ = ["VideoDenoiser", "cut_ghost", "flicker_ratio", "load_clips", "measure", "still_gain"]

VideoDenoiser = Callable[[Pictures, float], Pictures]
"""(T, H * 3 // 2, W) raw yuv420p and the sigma of its luma to the same, from a fresh state."""

LARGEST = (640, 360)
# A pixel is still when its clean luma keeps within so many code values; a clip needs this share of such pixels.
_STILL, _ENOUGH = 1, 0.01
_SETTLED = 4  # frames after which flicker is looked at


def load_clips(paths: list[Path], *, frames: int, sigma: float, seed: int = 0) -> list[NoisyClip]:
    """Clips with white RGB noise, at most 640x360.

    Raises:
        SourceError: one of them cannot be read.
    """
    return [_load_clip(path, frames, sigma, seed) for path in paths]


def _load_clip(path: Path, frames: int, sigma: float, seed: int) -> NoisyClip:
    try:
        return noisy_clip(path, LARGEST, frames, sigma, seed)
    except (av.FFmpegError, OSError, ValueError) as exc:
        raise SourceError(f"{path}: not a clip that can be read ({exc})") from exc
    except IndexError as exc:
        raise SourceError(f"{path}: there is no video in it") from exc


def measure(denoise: VideoDenoiser, clips: list[NoisyClip]) -> dict[str, float]:
    """Means over clips, each the mean over its frames.

    ``psnr_y``, ``psnr_yuv`` (6:1:1) and ``ssim_y``; ``flicker``, how many times steadier than the noisy clip still
    pixels are, where a clip has such pixels.
    """
    rows = []
    for clip in clips:
        output = denoise(clip.noisy, luma_sigma(clip))
        row = {
            "psnr_y": _mean(psnr, clip.clean, output),
            "psnr_yuv": _psnr_611(clip.clean, output),
            "ssim_y": _mean(ssim, clip.clean, output),
        }
        if (ratio := flicker_ratio(clip, output)) is not None:
            row["flicker"] = ratio
        rows.append(row)
    names = {name for row in rows for name in row}
    return {name: float(np.mean([row[name] for row in rows if name in row])) for name in sorted(names)}


def luma_sigma(clip: NoisyClip) -> float:
    """Standard deviation of the noise in the luma, as it really is."""
    return float((_lumas(clip.noisy) - _lumas(clip.clean)).std())


def flicker_ratio(clip: NoisyClip, output: Pictures) -> float | None:
    """Variance over time of the noisy luma, over that of the denoised, where the clean picture stands still."""
    clean = _lumas(clip.clean)[_SETTLED:]
    still = np.ptp(clean, axis=0) <= _STILL
    if still.mean() < _ENOUGH:
        return None
    noisy, denoised = (_lumas(each)[_SETTLED:].var(axis=0)[still].mean() for each in (clip.noisy, output))
    return float(noisy) / max(float(denoised), 1e-9)


def still_gain(denoise: VideoDenoiser, pictures: list[npt.NDArray[np.uint8]], sigma: float) -> float:
    """DB that frame 15 of a picture standing still is better than frame 0; mean over pictures (H, W, 3) RGB."""
    gains = []
    for picture in pictures:
        clip = _noisy(fitted(np.repeat(picture[None], 16, 0), LARGEST), sigma)
        output = denoise(clip.noisy, luma_sigma(clip))
        first, last = (psnr(luma(clip.clean[at]), luma(output[at])) for at in (0, 15))
        gains.append(last - first)
    return float(np.mean(gains))


def cut_ghost(
    denoise: VideoDenoiser, pairs: list[tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]], sigma: float
) -> float:
    """DB that the third frame after a cut is worse than the third frame of a fresh start; the worst of the pairs.

    Args:
        denoise: to be tried.
        pairs: pictures (H, W, 3) of one size, before and after the cut.
        sigma: of the RGB noise.
    """
    worst = -np.inf
    for before, after in pairs:
        shots = np.concatenate([np.repeat(shot[None], 8, 0) for shot in (before, after)])
        clip = _noisy(fitted(shots, LARGEST), sigma)
        level = luma_sigma(clip)
        through = denoise(clip.noisy, level)[8 + 2]
        fresh = denoise(clip.noisy[8:], level)[2]
        clean = luma(clip.clean[8 + 2])
        worst = max(worst, psnr(clean, luma(fresh)) - psnr(clean, luma(through)))
    return float(worst)


def _noisy(clean: Pictures, sigma: float) -> NoisyClip:
    return NoisyClip("still", to_yuv420p(clean), to_yuv420p(add_noise(clean, sigma, 0)))


def _lumas(pictures: Pictures) -> npt.NDArray[np.float32]:
    """(T, H, W)."""
    return pictures[:, : pictures.shape[1] * 2 // 3].astype(np.float32)


def _mean(metric: Callable[..., float], clean: Pictures, output: Pictures) -> float:
    return float(np.mean([metric(luma(a), luma(b)) for a, b in zip(clean, output, strict=True)]))


def _psnr_611(clean: Pictures, output: Pictures) -> float:
    """PSNR of Y, U and V, weighted 6 to 1 to 1 (the usual weights of 4:2:0 codec tests)."""
    rows = clean.shape[1] * 2 // 3
    quarter = rows * clean.shape[2] // 4
    values = []
    for a, b in zip(clean, output, strict=True):
        flat_a, flat_b = (each[rows:].reshape(-1) for each in (a, b))
        u, v = (psnr(flat_a[part], flat_b[part]) for part in (slice(quarter), slice(quarter, None)))
        values.append((6 * psnr(luma(a), luma(b)) + u + v) / 8)
    return float(np.mean(values))
