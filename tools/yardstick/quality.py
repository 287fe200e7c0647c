"""How well a tool cleans: tuning on a few frames, then the score on all of them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
import numpy.typing as npt

from yardstick.metrics import luma, psnr, ssim
from yardstick.noisy_clip import NoisyClip
from yardstick.raw_video import RawVideo
from yardstick.search import Setting, tune
from yardstick.tool import Tool

__all__ = ["ClipScore", "score_noise", "score_tool", "tuned"]

log = logging.getLogger(__name__)

KEPT = 16  # frames kept of every result: as many as the pictures may show


@dataclass(frozen=True)
class ClipScore:
    """Closeness to the clean clip, frame by frame.

    Attributes:
        clip: its name.
        psnr: dB of luma, one per frame; a tool with a frame limit has fewer than others.
        ssim: of luma, one per frame.
        pictures: the first frames, (T, H * 3 // 2, W), to look at.
    """

    clip: str
    psnr: tuple[float, ...]
    ssim: tuple[float, ...]
    pictures: npt.NDArray[np.uint8]


def tuned(tool: Tool, clips: Sequence[NoisyClip], sigma: float, frames: int, folder: Path) -> Setting:
    """The setting with the highest PSNR-Y, mean of the clips, on their first ``frames`` frames."""
    if not tool.knobs:
        return ()

    def score(setting: Setting) -> float:
        values = [
            fmean(
                map(psnr, _lumas(clip.clean[:frames]), _lumas(_denoised(tool, clip, setting, frames, folder)))
            )
            for clip in clips
        ]
        log.info("  %s: %.2f dB", tool.label(setting), fmean(values))
        return fmean(values)

    return tune(tool.knobs, sigma, score)


def score_tool(tool: Tool, setting: Setting, clip: NoisyClip, folder: Path) -> ClipScore:
    """Denoise a clip, or as many of its frames as the tool can take, and compare with the clean frames."""
    frames = min(len(clip.noisy), tool.frame_limit or len(clip.noisy))
    return _score(clip, _denoised(tool, clip, setting, frames, folder))


def score_noise(clip: NoisyClip) -> ClipScore:
    """The noisy clip itself."""
    return _score(clip, clip.noisy)


def _score(clip: NoisyClip, pictures: npt.NDArray[np.uint8]) -> ClipScore:
    pairs = list(zip(_lumas(clip.clean), _lumas(pictures), strict=False))
    return ClipScore(
        clip.name,
        tuple(psnr(clean, other) for clean, other in pairs),
        tuple(ssim(clean, other) for clean, other in pairs),
        pictures[:KEPT].copy(),
    )


def _denoised(
    tool: Tool, clip: NoisyClip, setting: Setting, frames: int, folder: Path
) -> npt.NDArray[np.uint8]:
    noisy = RawVideo.write(folder / "noisy.yuv", clip.noisy[:frames])
    output = folder / "denoised.yuv"
    tool.denoise(noisy, output, setting)
    return RawVideo(output, noisy.size, noisy.frames).read()


def _lumas(pictures: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.uint8]]:
    return [luma(picture) for picture in pictures]
