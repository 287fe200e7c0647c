"""How noisy is a video, from what changes between its frames where nothing moves.

Cameras and codecs smooth their noise: little of it is left in the finest details, which are all that one picture can
tell it from texture by, while coarser details keep it. Between frames, noise changes and what stands still does not.
So three frames are compared in the details of blocks of 8 x 8 pixels (Haar, third level), where they show that they
stand still: there is a structure much stronger than what changes, and two frames apart no more changes than one.
Structure that moves changes more the farther it has come (until hardly anything is left of it: then all of it changes),
and where the whole picture trembles, more changes where there is more of it; noise does not care.

What comes out is the white noise that would be as strong in those details. It is about what real noise is best
denoised with: for fifteen camera pictures, whose finest details keep a tenth of it, the best strength was 1.1 to 2.1
times this, median 1.4, and 0.4 dB better (``tools/real_noise.py``); for drawn scenes it was less than this.
"""

from __future__ import annotations

import math
from functools import reduce

import numpy as np
import numpy.typing as npt

from malle_rt.frame import Plane

__all__ = ["Pooled", "change_between", "pooled", "sigma_of_changes"]

POOL = 4  # side of what becomes one value, in pixels
BLOCK = 32  # side of what is judged to stand still, in pixels
MAX_PIXELS = 1 << 19  # larger pictures are sampled by rows of blocks
STRUCTURE = 3.0  # times the power of the changes: what stands still is so much stronger
STEADY = 0.3  # share by which changes two frames apart may differ from those one frame apart
ALIKE = 2.0  # times by which the changes of the two pairs of neighbours may differ
TREMBLING = 2.0  # times the changes of the less structured half: those of the other half must be less
FEWEST, SMALLEST_SHARE = 8, 0.05  # blocks, and share of them all, that must be found to stand still

# The median of a mean of 48 squares of normal values, for a variance of 1 (Wilson and Hilferty, PNAS 1931).
_MEDIAN = (1 - 2 / (9 * 3 * (BLOCK // POOL // 2) ** 2)) ** 3

Values = npt.NDArray[np.float32]
Pooled = Values
"""(rows, columns) of sums over POOL x POOL pixels; white noise has its own standard deviation in them."""


def pooled(luma: Plane, bits: int) -> Pooled:
    """What ``sigma_of_changes`` needs of a frame.

    Args:
        luma: (rows, columns), uint8 or uint16.
        bits: significant bits of a sample.

    Returns:
        A small part of the frame; empty for one smaller than a block.
    """
    rows, columns = (side // BLOCK for side in luma.shape)
    tall = luma[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns * BLOCK)
    tall = tall[:: max(1, -(-luma.size // MAX_PIXELS))]
    pixels = tall.reshape(len(tall) * BLOCK, columns * BLOCK)
    # Slices are added: numpy reduces axes as short as these several times slower.
    down = reduce(np.add, [pixels[line::POOL].astype(np.uint32) for line in range(POOL)])
    across = reduce(np.add, [down[:, line::POOL] for line in range(POOL)])
    sums: Pooled = across / np.float32(POOL << (bits - 8))
    return sums


def sigma_of_changes(first: Pooled, second: Pooled, third: Pooled) -> float | None:
    """Standard deviation of white noise as strong as what changes, on the 8-bit scale.

    Args:
        first: the oldest of three consecutive frames of one size.
        second: the next one.
        third: the newest.

    Returns:
        None where too little is seen to stand still, the picture trembles, or nothing at all changes.
    """
    if not second.size:
        return None
    scale = np.float32(math.sqrt(0.5))  # two noises add up
    before, after = _power((second - first) * scale), _power((third - second) * scale)
    apart, structure = _power((third - first) * scale), _power(second)
    change = (before + after) / 2
    still = (change > 0) & (structure > STRUCTURE * change) & (np.abs(apart - change) < STEADY * change)
    still &= np.maximum(before, after) < ALIKE * np.minimum(before, after)
    if np.count_nonzero(still) < max(FEWEST, SMALLEST_SHARE * still.size):
        return None
    ordered = change[still][np.argsort(structure[still])]
    less, more = (float(np.median(half)) for half in np.array_split(ordered, 2))
    return math.sqrt(float(np.median(ordered)) / _MEDIAN) if more < TREMBLING * less else None


def change_between(one: Pooled, other: Pooled) -> float:
    """Power of what changes from one frame to another of its size, in a block that three quarters of them are below.

    So neither the bars of a letterbox count nor what moves in a part of the picture.
    """
    return float(np.quantile(_power(other - one), 0.75)) if one.size else 0.0


def _power(values: Values) -> Values:
    """Mean square of the finest Haar details in each block, (rows, columns) to (blocks,)."""
    top, bottom = values[::2], values[1::2]
    total, down = top + bottom, top - bottom
    across = total[:, ::2] - total[:, 1::2]
    details = np.square(across) + np.square(down[:, ::2]) * 2 + np.square(down[:, 1::2]) * 2
    side = BLOCK // POOL // 2
    blocks = details.reshape(details.shape[0] // side, side, -1, side).mean((1, 3))
    power: Values = blocks.ravel() / np.float32(3 * 4)
    return power
