"""The kinds of noise that clips are given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from yardstick.camera_clip import camera_clip, noise_level
from yardstick.codecs import h264
from yardstick.noisy_clip import CleanClip, NoisyClip, white_noise

__all__ = ["Camera", "NoiseKind", "White"]


@dataclass(frozen=True)
class White:
    """White noise in RGB, the same for all clips; tools are tuned for all of them together.

    Attributes:
        sigma: 8-bit scale.
        crf: constant rate factor of x264 that the noisy clips go through; None: they do not.
    """

    sigma: float
    crf: float | None = None

    @property
    def name(self) -> str:
        """As files say it."""
        return f"{self.sigma:g}"

    def noisy(self, clip: CleanClip, seed: int) -> NoisyClip:
        """The clip with noise of that seed."""
        made = white_noise(clip, self.sigma, seed)
        return made if self.crf is None else replace(made, noisy=h264(made.noisy, crf=self.crf))

    def tuned_together(self, clips: Sequence[NoisyClip]) -> list[tuple[float, Sequence[NoisyClip]]]:
        """What tools are tuned for in one search, and the sigma where it begins."""
        return [(self.sigma, clips)]


@dataclass(frozen=True)
class Camera:
    """A camera of ``tools/cameras.py``; each clip is a recording of its own, for which tools are tuned."""

    name: str

    def noisy(self, clip: CleanClip, seed: int) -> NoisyClip:
        """The clip as recorded with that seed."""
        return camera_clip(clip, self.name, seed)

    def tuned_together(self, clips: Sequence[NoisyClip]) -> list[tuple[float, Sequence[NoisyClip]]]:
        """Each clip by itself."""
        return [(noise_level(clip), [clip]) for clip in clips]


NoiseKind = White | Camera
