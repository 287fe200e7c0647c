"""What the comparison found: for each sigma, each tool's setting, scores and speed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any

from yardstick.busy import FrameTimes
from yardstick.overlap import Overlap
from yardstick.quality import ClipScore
from yardstick.speed import Speed

__all__ = ["Comparison", "ToolScore"]


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
