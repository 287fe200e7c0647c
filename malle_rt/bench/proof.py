"""The proof that the network ran: what came out is closer to the clean picture than what went in, frame by frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from malle_rt.bench.clip import Clip, judged
from malle_rt.measuring import psnr

__all__ = ["LEAST_GAIN", "Proof", "prove"]

LEAST_GAIN = 3.0  # dB on white noise of sigma 15; the networks reach 8
# Pixels of the shorter side below which half of that must do: most of such a picture is border.
_SMALL = 96
_BLANK = 2.0  # standard deviation below which a picture shows nothing; the clip's is above 30

Luma = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Proof:
    """What the frames that were looked at say.

    Attributes:
        gain_db: PSNR of the output over that of the input, mean over the frames.
        problem: why this is no proof, one line; None where it is.
    """

    gain_db: float
    problem: str | None


def _psnr(luma: Luma, clean: Luma) -> float:
    """In dB, at most 99: nothing here is infinitely good."""
    return min(99.0, psnr(judged(luma), judged(clean)))


def prove(shown: Mapping[int, Luma], clip: Clip) -> Proof:
    """Judge output frames.

    Args:
        shown: luma of the output by its position in the clip, at least one.
        clip: what they were made from.
    """
    gains = {}
    for position, luma in shown.items():
        clean = clip.clean(position)
        gains[position] = _psnr(luma, clean) - _psnr(clip.noisy_luma(position), clean)
    worst = min(gains, key=lambda position: gains[position])
    problem = None
    wanted = LEAST_GAIN / 2 if min(shown[worst].shape) < _SMALL else LEAST_GAIN
    if gains[worst] < wanted:
        what = _diagnosis(shown[worst], worst, clip)
        problem = f"frame {worst} gained {gains[worst]:+.1f} dB, wanted {wanted:+.1f}: {what}"
    return Proof(sum(gains.values()) / len(gains), problem)


def _diagnosis(luma: Luma, position: int, clip: Clip) -> str:
    if judged(luma).std() < _BLANK:
        return "the picture is blank"
    if np.array_equal(luma, clip.noisy_luma(position)):
        return "the output is the input"
    due = _psnr(luma, clip.clean(position))
    for back in (1, 2):
        if position >= back and _psnr(luma, clip.clean(position - back)) > max(due, 25) + LEAST_GAIN:
            return f"it is the frame of {back} before"
    return "the network did not run, or not well"
