"""What the comparison found: how good each tool is on each clip, at its best setting, and what it takes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import numpy.typing as npt
from skimage.metrics import structural_similarity

from malle_rt.measuring import psnr
from yardstick.clips import NoisyClip
from yardstick.raw import Luma, RawVideo, chroma, luma
from yardstick.speed import FrameTimes, Overlap, Speed
from yardstick.tool import Setting, Tool, tune

__all__ = ["ClipScore", "Comparison", "ToolScore", "score_noise", "score_tool", "ssim", "tuned"]

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


def ssim(clean: Luma, other: Luma) -> float:
    """Structural similarity as Wang et al. define it (2004): an 11 x 11 Gaussian window of 1.5 pixels; at most 1."""
    return float(
        structural_similarity(  # type: ignore[no-untyped-call]  # scikit-image annotates nothing
            clean, other, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
    )


@dataclass(frozen=True)
class ToolScore:
    """One tool at one kind of noise.

    Attributes:
        tool: its name.
        clips: one score per clip.
    """

    tool: str
    clips: tuple[ClipScore, ...]

    @property
    def label(self) -> str:
        """Its setting, as typed; of several, that of each clip."""
        labels = list(dict.fromkeys(clip.label for clip in self.clips))
        return labels[0] if len(labels) == 1 else "; ".join(clip.label for clip in self.clips)

    def psnr(self) -> float:
        """Mean of the clips' means over frames, dB."""
        return fmean(fmean(clip.psnr) for clip in self.clips)

    def ssim(self) -> float:
        """Mean of the clips' means over frames."""
        return fmean(fmean(clip.ssim) for clip in self.clips)

    def frames(self) -> int:
        """Frames scored, of all clips."""
        return sum(len(clip.psnr) for clip in self.clips)

    def gain(self, other: ToolScore) -> tuple[float, float]:
        """PSNR in dB and SSIM by which this is better than ``other``, on the frames that both have."""
        psnr, ssim = [], []
        for mine, theirs in zip(self.clips, other.clips, strict=True):
            both = min(len(mine.psnr), len(theirs.psnr))
            psnr.append(fmean(mine.psnr[:both]) - fmean(theirs.psnr[:both]))
            ssim.append(fmean(mine.ssim[:both]) - fmean(theirs.ssim[:both]))
        return fmean(psnr), fmean(ssim)

    def as_json(self) -> dict[str, Any]:
        """Without the pictures."""
        scores = {"psnr_y": self.psnr(), "ssim": self.ssim(), "frames": self.frames()}
        return {"tool": self.tool, **scores, "clips": {clip.clip: _clip_json(clip) for clip in self.clips}}


def _clip_json(clip: ClipScore) -> dict[str, Any]:
    u, v = clip.chroma()
    means = {"psnr_y": fmean(clip.psnr), "psnr_u": u, "psnr_v": v}
    setting = {"moving": clip.moving, "label": clip.label, "setting": clip.setting}
    return {**setting, **means, "psnr": clip.psnr, "ssim": clip.ssim}


@dataclass
class Comparison:
    """Everything measured in one run.

    Attributes:
        machine: before and after.
        clips: name, size and number of frames of each, in words.
        scores: per kind of noise (a sigma or a camera), in the order of the table; the noisy clip itself comes first.
        speed: per tool, at one kind of noise.
        other_cores: that other programs kept busy while speed was measured; None if unknown.
        overlap: of malle-rt's stages, "auto" with the network and "none" without.
        busy: per tool, the times of frames beside spinning neighbours.
    """

    machine: list[dict[str, str]] = field(default_factory=list)
    clips: list[str] = field(default_factory=list)
    scores: dict[str, Sequence[ToolScore]] = field(default_factory=dict)
    speed: dict[str, Speed] = field(default_factory=dict)
    other_cores: float | None = None
    overlap: dict[str, Overlap] = field(default_factory=dict)
    busy: dict[str, list[FrameTimes]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "machine": self.machine,
            "clips": self.clips,
            "scores": {kind: [score.as_json() for score in s] for kind, s in self.scores.items()},
            "speed": {tool: asdict(speed) for tool, speed in self.speed.items()},
            "other_cores": self.other_cores,
            "overlap": {name: asdict(overlap) for name, overlap in self.overlap.items()},
            "busy": {tool: [asdict(times) for times in each] for tool, each in self.busy.items()},
        }
