"""What the comparison asks of every tool, and the search for its best setting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from yardstick.process import Usage
from yardstick.raw import RawVideo

__all__ = ["DenoiseRun", "Knob", "Setting", "Tool", "tune"]

Setting = tuple[float, ...]

# Each round multiplies or divides one knob by its factor until nothing gets better. The last leaves a knob within
# 4 % of the best: less than 0.02 dB on the flat top of any curve of PSNR over strength that we have seen.
FACTORS = (2.0, 1.3, 1.08)
MOST_STEPS = 12  # with one factor: knobs with different judges might otherwise chase each other for ever

Scores = tuple[float, ...]
"""Of luma first; of chroma second, where a knob asks for it."""


@dataclass(frozen=True)
class Knob:
    """One number to tune.

    Attributes:
        name: what the tool calls it.
        start: where the search begins, per unit of sigma (8-bit scale).
        low, high: what the tool accepts.
        judge: which of the scores says what is better: 0 that of luma, 1 that of chroma.
    """

    name: str
    start: float
    low: float
    high: float
    judge: int = 0

    def clamped(self, value: float) -> float:
        """The nearest value the tool accepts, in a few digits, as a person would type it."""
        return float(f"{min(max(value, self.low), self.high):.3g}")


def tune(knobs: Sequence[Knob], sigma: float, score: Callable[[Setting], Scores]) -> Setting:
    """The setting with the highest score: one knob after the other, uphill in ever smaller steps.

    Args:
        knobs: at least one; a score with one hill along each is found for certain.
        sigma: of the noise, 8-bit scale.
        score: called once for each setting tried.
    """
    seen: dict[Setting, Scores] = {}

    def known(setting: Setting) -> Scores:
        if setting not in seen:
            seen[setting] = score(setting)
        return seen[setting]

    best = tuple(knob.clamped(knob.start * sigma) for knob in knobs)
    for factor in FACTORS:
        for _ in range(MOST_STEPS):
            if (better := _step(knobs, best, factor, known)) == best:
                break
            best = better
    return best


def _step(knobs: Sequence[Knob], best: Setting, factor: float, score: Callable[[Setting], Scores]) -> Setting:
    """The best of ``best`` and its neighbours along each knob in turn."""
    if len({knob.judge for knob in knobs}) == len(knobs):
        return _step_together(knobs, best, factor, score)
    for index, knob in enumerate(knobs):
        around = [best]
        for scale in (factor, 1 / factor):
            value = knob.clamped(best[index] * scale)
            around.append((*best[:index], value, *best[index + 1 :]))
        scores = [score(setting)[knob.judge] for setting in around]
        best = around[scores.index(max(scores))]
    return best


def _step_together(
    knobs: Sequence[Knob], best: Setting, factor: float, score: Callable[[Setting], Scores]
) -> Setting:
    """Knobs that have a judge each do not touch each other's score: they move at once, in fewer tries."""
    around = [best]
    for scale in (factor, 1 / factor):
        around.append(tuple(knob.clamped(value * scale) for knob, value in zip(knobs, best, strict=True)))
    scores = [score(setting) for setting in around]
    chosen = []
    for index, knob in enumerate(knobs):
        judged = [each[knob.judge] for each in scores]
        chosen.append(around[judged.index(max(judged))][index])
    return tuple(chosen)


@dataclass(frozen=True)
class DenoiseRun:
    """One run over raw frames.

    Attributes:
        fps: frames per second of the denoiser alone: no start-up, no reading, no writing.
        convert_fps: the same with conversion to RGB and back, for a tool that needs it.
        usage: of the whole process.
        frame_seconds: of each frame but the first, where the tool can tell.
    """

    fps: float
    convert_fps: float
    usage: Usage
    frame_seconds: tuple[float, ...] = ()


class Tool(Protocol):
    """A denoiser, run as a process of its own."""

    @property
    def name(self) -> str:
        """What the table calls it."""
        ...

    @property
    def knobs(self) -> tuple[Knob, ...]:
        """What is tuned; empty for a tool that sets itself."""
        ...

    @property
    def frame_limit(self) -> int | None:
        """Most frames per clip that a run may take without lasting for ever; None: any number."""
        ...

    def denoise(self, noisy: RawVideo, output: Path | None, setting: Setting) -> DenoiseRun:
        """Denoise raw frames into a raw file; None: into nothing, for timing that no disk disturbs."""
        ...

    def transcode_command(self, source: Path, output: Path, setting: Setting) -> list[str] | None:
        """The command line that a user would type to clean a video file; None where there is none."""
        ...

    def label(self, setting: Setting) -> str:
        """The setting, as it would be typed."""
        ...
