"""How well a tool cleans: tuning on a few frames, then the score on all of them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

import numpy as np
import numpy.typing as npt

from yardstick.metrics import chroma, luma, psnr, ssim
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
        psnr_u, psnr_v: dB of the chroma planes, one per frame.
        moving: whether most of the picture moves.
        setting: of the tool, for this clip.
        label: the same, as typed.
    """

    clip: str
    psnr: tuple[float, ...]
    ssim: tuple[float, ...]
    pictures: npt.NDArray[np.uint8]
    psnr_u: tuple[float, ...] = ()
    psnr_v: tuple[float, ...] = ()
    moving: bool = False
    setting: Setting = ()
    label: str = ""

    def chroma(self) -> tuple[float, float]:
        """DB of U and of V, means over frames."""
        return fmean(self.psnr_u), fmean(self.psnr_v)


def tuned(tool: Tool, clips: Sequence[NoisyClip], sigma: float, frames: int, folder: Path) -> Setting:
    """The setting with the highest PSNR, mean of the clips, on their first ``frames`` frames.

    It is the PSNR of luma, and that of chroma for knobs that only touch chroma.
    """
    if not tool.knobs:
        return ()

    def score(setting: Setting) -> tuple[float, float]:
        lumas: list[float] = []
        chromas: list[float] = []
        for clip in clips:
            for clean, other in zip(clip.clean, _denoised(tool, clip, setting, frames, folder), strict=False):
                lumas.append(psnr(luma(clean), luma(other)))
                chromas += map(psnr, chroma(clean), chroma(other))
        log.info("  %s: %.2f dB", tool.label(setting), fmean(lumas))
        return fmean(lumas), fmean(chromas)

    return tune(tool.knobs, sigma, score)


def score_tool(tool: Tool, setting: Setting, clip: NoisyClip, folder: Path) -> ClipScore:
    """Denoise a clip, or as many of its frames as the tool can take, and compare with the clean frames."""
    frames = min(len(clip.noisy), tool.frame_limit or len(clip.noisy))
    score = _score(clip, _denoised(tool, clip, setting, frames, folder))
    return replace(score, setting=setting, label=tool.label(setting))


def score_noise(clip: NoisyClip) -> ClipScore:
    """The noisy clip itself."""
    return _score(clip, clip.noisy)


def _score(clip: NoisyClip, pictures: npt.NDArray[np.uint8]) -> ClipScore:
    both = list(zip(clip.clean, pictures, strict=False))
    pairs = [(luma(clean), luma(other)) for clean, other in both]
    colours = [tuple(map(psnr, chroma(clean), chroma(other))) for clean, other in both]
    return ClipScore(
        clip.name,
        tuple(psnr(clean, other) for clean, other in pairs),
        tuple(ssim(clean, other) for clean, other in pairs),
        pictures[:KEPT].copy(),
        psnr_u=tuple(u for u, _ in colours),
        psnr_v=tuple(v for _, v in colours),
        moving=clip.moving,
    )


def _denoised(
    tool: Tool, clip: NoisyClip, setting: Setting, frames: int, folder: Path
) -> npt.NDArray[np.uint8]:
    noisy = RawVideo.write(folder / "noisy.yuv", clip.noisy[:frames])
    output = folder / "denoised.yuv"
    tool.denoise(noisy, output, setting)
    return RawVideo(output, noisy.size, noisy.frames).read()
