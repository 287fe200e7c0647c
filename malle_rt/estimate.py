"""How noisy is this picture: standard deviation of the luma's noise, without a clean copy.

The finest Haar details of small blocks are looked at. White noise has the same power in the horizontal, vertical and
diagonal ones (Donoho and Johnstone, "Ideal spatial adaptation by wavelet shrinkage", Biometrika 1994); texture has
less in the diagonal ones. As Liu, Tanaka and Okutomi do ("Single-image noise level estimation for blind denoising",
IEEE TIP 2013), blocks are taken from the weakest texture upwards for as long as noise of the level found explains
them. What sorts the blocks here, the horizontal and vertical details, is independent of the diagonal ones that tell
the level, so that choosing the weakest does not make the noise look weaker. Noise that is clipped at black or white
is weaker than it was: blocks so near to the ends do not vote.

What one picture cannot tell: its own grain counts as noise, and noise that the camera or a codec has smoothed is read
too low: at 0.63 of its standard deviation in a low-light video frame, at 0.13 to 0.27 (median 0.20) in fifteen
pictures as still cameras develop them. In a video, frames that follow each other tell it; see ``learned_estimate``.
"""

from __future__ import annotations

import math
from functools import reduce

import numpy as np
import numpy.typing as npt

from malle_rt.frame import Plane

__all__ = ["estimate_sigma", "flattest_sigma", "white_level"]

BLOCK = 8  # side of a voting block, in pixels: small, for the flat parts of a textured picture are small
MAX_PIXELS = 1 << 19  # larger pictures are sampled by rows of blocks
BLACK, WHITE = 16, 235  # of limited range; in full range a little more than needed stays out
SURELY_CLIPPED = 4  # blocks whose mean is so near to black or white tell nothing
MARGIN = 2.0  # standard deviations of the noise that a voting block's mean keeps from black and white
FARTHEST = 0.05  # share of the blocks, those farthest from the ends, that vote even within the margin
PASSES = 3  # the margin depends on the noise that is found with it
# Of blocks of like texture: how many, unless they came to fewer blocks than that.
GROUPS, SMALLEST_GROUP = 32, 16

_DETAILS = (BLOCK // 2) ** 2  # of one orientation in a block
# The median of a mean of squares of normal values, for a variance of 1 (Wilson and Hilferty, PNAS 1931).
_MEDIAN = (1 - 2 / (9 * _DETAILS)) ** 3
# The lowest twentieth of such means with the details of all three orientations, likewise.
_FLATTEST = (1 - 2 / (27 * _DETAILS) - 1.645 * math.sqrt(2 / (27 * _DETAILS))) ** 3

Values = npt.NDArray[np.float32]


def estimate_sigma(luma: Plane, bits: int = 8) -> float | None:
    """Standard deviation of white noise in one luma plane.

    Args:
        luma: (rows, columns), uint8 or uint16.
        bits: significant bits of a sample.

    Returns:
        Sigma on the 8-bit scale; None where it cannot be told: smaller than one block, or black or white all over.
    """
    return white_level(*_blocks(luma, bits))


def white_level(mean: Values, texture: Values, diagonal: Values) -> float | None:
    """Standard deviation of white noise, from blocks of a picture.

    Args:
        mean: of each block, (blocks,) as all three, 8-bit scale.
        texture: mean square of its finest details across or down.
        diagonal: of the diagonal ones.

    Returns:
        None where all of it is black or white.
    """
    room = np.minimum(mean - BLACK, WHITE - mean)
    usable = room > SURELY_CLIPPED
    if not usable.any():
        return None
    room, texture, diagonal = room[usable], texture[usable], diagonal[usable]
    enough = float(np.quantile(room, 1 - FARTHEST))
    sigma = 0.0
    for _ in range(PASSES):
        unclipped = room >= min(MARGIN * sigma, enough)
        sigma = math.sqrt(_white_level(texture[unclipped], diagonal[unclipped]))
    return sigma


def flattest_sigma(plane: Plane, bits: int) -> float | None:
    """Standard deviation of all that is finest in the flattest twentieth of the blocks, texture included.

    An upper bound for the noise: a look at pictures whose noise is not white, where ``estimate_sigma`` sees too little.
    Args and result as there.
    """
    mean, texture, diagonal = _blocks(plane, bits)
    usable = np.minimum(mean - BLACK, WHITE - mean) > SURELY_CLIPPED
    if not usable.any():
        return None
    power = (2 * texture[usable] + diagonal[usable]) / 3
    return math.sqrt(float(np.quantile(power, 0.05)) / _FLATTEST)


def _white_level(texture: Values, diagonal: Values) -> float:
    """Variance of the noise, from the power of the details of each block, (blocks,) both.

    The level is where the two powers meet. Below are blocks where noise happens to be weak, or that lie in a part with
    less of it (saturated colours, captions); above, there is texture. Where they meet nowhere, the blocks with the
    weakest texture decide.
    """
    groups = max(1, min(GROUPS, texture.size // SMALLEST_GROUP))
    order = np.argsort(texture)[: texture.size // groups * groups]
    texture, diagonal = (power[order].reshape(groups, -1) for power in (texture, diagonal))
    white = np.flatnonzero(np.median(diagonal, axis=1) / _MEDIAN >= texture.mean(axis=1))
    last = int(white[-1]) if white.size else 0
    # The median holds off blocks with an edge. Half of the groups are enough, those next to where the powers meet.
    return float(np.median(diagonal[last // 2 : last + 1])) / _MEDIAN


def _blocks(luma: Plane, bits: int) -> tuple[Values, Values, Values]:
    """Of each block, (blocks,) each: the mean, and the power of the details across or down, and of the diagonal ones.

    On the 8-bit scale; in orthonormal Haar details white noise has its own variance.
    """
    rows, columns = (side // BLOCK for side in luma.shape)
    tall = luma[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns * BLOCK)
    tall = tall[:: max(1, -(-luma.size // MAX_PIXELS))]
    pixels = tall.reshape(len(tall) * BLOCK, columns * BLOCK).astype(np.float32) / np.float32(1 << (bits - 8))
    total, down = pixels[::2] + pixels[1::2], pixels[::2] - pixels[1::2]
    across = total[:, ::2] - total[:, 1::2]
    diagonal = down[:, ::2] - down[:, 1::2]
    total, down = total[:, ::2] + total[:, 1::2], down[:, ::2] + down[:, 1::2]
    texture = np.square(across) + np.square(down)
    # Sums and differences of four pixels are twice the orthonormal coefficients, and four times the mean.
    return _means(total, of=4), _means(texture, of=8), _means(np.square(diagonal), of=4)


def _means(values: Values, of: int) -> Values:
    """Mean over each block of Haar coefficients, (rows, columns) to (blocks,), divided by ``of``."""
    side = BLOCK // 2
    # Slices are added, rows and then columns: numpy reduces axes as short as these three times slower.
    for _ in range(2):
        values = reduce(np.add, [values[first::side] for first in range(side)]).T
    means: Values = values.ravel() / np.float32(_DETAILS * of)
    return means
