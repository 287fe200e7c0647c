"""How noisy is this picture: standard deviation of the luma's noise, without a clean copy.

The finest diagonal Haar details hold mostly noise (Donoho and Johnstone, "Ideal spatial adaptation by wavelet
shrinkage", Biometrika 1994). Their root mean square is taken per block, and the median block of the flattest ones
decides, because texture would be counted as noise. A median over single details, as in the paper, moves in steps on
8-bit pictures. Blocks near black or white, where noise is clipped, do not vote.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from malle_rt.frame import Plane

__all__ = ["SigmaEstimator", "estimate_sigma"]

BLOCK = 8  # side of a voting block, in Haar coefficients: 16 x 16 pixels
FLATTEST = 0.15  # share of the blocks that vote
MAX_PIXELS = 1 << 20  # larger pictures are sampled by rows of blocks


def estimate_sigma(luma: Plane, bits: int = 8) -> float | None:
    """Standard deviation of white noise in one luma plane.

    Args:
        luma: (rows, columns), uint8 or uint16.
        bits: significant bits of a sample.

    Returns:
        Sigma on the 8-bit scale; None where it cannot be told: smaller than one block, or black or white all over.
    """
    blocks = _haar_blocks(luma, bits)
    if blocks is None:
        return None
    mean, spread, diagonal = blocks
    usable = (mean > 20) & (mean < 232)
    if not usable.any():
        return None
    spread, diagonal = spread[usable], diagonal[usable]
    flattest = diagonal[spread <= np.quantile(spread, FLATTEST)]
    return float(np.sqrt(np.median(np.square(flattest).mean(-1))))


def _haar_blocks(luma: Plane, bits: int) -> tuple[npt.NDArray[np.float32], ...] | None:
    """Per block: mean, spread of the 2 x 2 means (texture coarser than the noise), and its diagonal details."""
    step = 2 * BLOCK
    rows, columns = (side // step for side in luma.shape)
    if not rows or not columns:
        return None
    tall = luma[: rows * step, : columns * step].reshape(rows, step, -1)
    tall = tall[:: max(1, luma.size // MAX_PIXELS)]
    pixels = tall.reshape(-1, columns * step).astype(np.float32) / np.float32(1 << (bits - 8))
    a, b, c, d = pixels[::2, ::2], pixels[::2, 1::2], pixels[1::2, ::2], pixels[1::2, 1::2]
    means = _blocks((a + b + c + d) / 4)
    diagonal = _blocks((a - b - c + d) / 2)
    return means.mean(-1), means.std(-1), diagonal


def _blocks(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    rows, columns = (side // BLOCK for side in values.shape)
    grouped = values.reshape(rows, BLOCK, columns, BLOCK).swapaxes(1, 2)
    return np.ascontiguousarray(grouped.reshape(rows * columns, BLOCK * BLOCK))


class SigmaEstimator:
    """Estimate for a video: measured on every ``every``-th frame and smoothed, so that the strength never flickers.

    Pictures that tell nothing, such as the black ones of a fade, leave it as it is; the next one is looked at again.
    """

    def __init__(self, *, every: int = 8, inertia: float = 0.7) -> None:
        self._every, self._inertia = every, inertia
        self._wait = 0
        self._sigma: float | None = None

    def update(self, planes: Sequence[Plane], bits: int) -> float:
        """Look at the next frame's luma; returns the smoothed sigma, 8-bit scale.

        Planes that are not looked at are not touched: those on a GPU stay there.
        """
        if self._wait == 0 and (now := estimate_sigma(planes[0], bits)) is not None:
            before = now if self._sigma is None else self._sigma
            self._sigma = self._inertia * before + (1 - self._inertia) * now
            self._wait = self._every
        self._wait = max(self._wait - 1, 0)
        return self._sigma or 0.0
