"""What two frames show of their noise, in numbers: the input of the learned estimate.

The frame before is moved to where it is now; what differs is noise, and whatever did not fit. Noise, texture and
misfits differ in how strong their details are from scale to scale, in space and over time, and from block to block. So
energies of Haar details at three scales are taken, of the picture and of the difference, of luma and chroma, and their
distributions over the blocks are described: quantiles, of all blocks and of darker and brighter ones, medians of blocks
of like structure, and the level of white noise that ``estimate`` finds in them.
"""

from __future__ import annotations

from functools import reduce

import numpy as np
import numpy.typing as npt

from malle_rt.estimate import white_level

__all__ = ["BLOCK", "COUNT", "FLOOR", "Levels", "features"]

BLOCK = 8  # side of what votes, in luma pixels
BLACK, WHITE = 20.0, 231.0  # blocks beyond are clipped, or nearly so
FEWEST = 16  # blocks that must not be clipped, and their share of all
SMALLEST_SHARE = 0.02
QUANTILES = np.array((0.05, 0.2, 0.4, 0.6, 0.8))
PARTED = np.array((0.2, 0.4))  # of the darker and of the brighter half of the blocks
GROUPS = 4  # of blocks of like structure
STEADY = (0.05, 0.3)  # energies of the difference, below which an encoder has copied a block
LEAST = 0.02  # energy, added before its logarithm is taken: rounding makes 0.08
FLOOR = 0.2  # likewise, of a standard deviation on the 8-bit scale

Values = npt.NDArray[np.float32]
Levels = tuple[Values, Values]
"""Luma (H, W) and chroma (2, H/2, W/2), 8-bit scale, H and W multiples of ``BLOCK``."""

# Energies of a block, in this order: of the picture across or down and diagonally, at each scale of the luma; the same
# of the difference; of the picture's chroma, at two scales, and of the difference's.
_MAPS = 16
_CHANGE = 6  # where those of the difference begin
_PARTED_MAPS = [1, 7, 9, 11]
_GROUPED_MAPS = [*_PARTED_MAPS, 14]
COUNT = (
    _MAPS * len(QUANTILES)
    + 2 * len(_PARTED_MAPS) * len(PARTED)
    + len(_GROUPED_MAPS) * GROUPS
    + 2  # steady blocks
    + 2  # brightness
    + 2  # white levels
    + 3  # correlations
)
"""Number of the features."""


def features(now: Levels, before: Levels) -> Values | None:
    """Describe a pair of frames, or of the same parts of both; parts lie on top of each other.

    Args:
        now: a frame.
        before: the frame before, moved to where it is in this one.

    Returns:
        (COUNT,); None where nearly all is clipped.
    """
    brightness = _means(now[0], BLOCK).ravel()
    usable = (brightness > BLACK) & (brightness < WHITE)
    if np.count_nonzero(usable) < max(SMALLEST_SHARE * usable.size, FEWEST):
        return None
    brightness, energies = brightness[usable], _energies_of(now, before)[:, usable]
    logs = np.log2(energies + np.float32(LEAST))
    by_light = np.array_split(np.argsort(brightness), 2)
    by_structure = np.array_split(np.argsort(energies[4] + energies[5]), GROUPS)
    found = [
        _quantiles(logs, QUANTILES),
        *(_quantiles(logs[_PARTED_MAPS][:, part], PARTED) for part in by_light),
        *(_quantiles(logs[_GROUPED_MAPS][:, part], np.array([0.5])) for part in by_structure),
        [np.mean(energies[_CHANGE] + energies[_CHANGE + 1] < bound) for bound in STEADY],
        [brightness[part].mean() / 64 for part in by_light],
        [np.log2((white_level(brightness, *energies[at : at + 2]) or 0.0) + FLOOR) for at in (0, _CHANGE)],
        [_correlation(logs[at], logs[_CHANGE + at]) for at in (0, 2, 4)],
    ]
    return np.concatenate([np.asarray(each, np.float32).ravel() for each in found])


def _energies_of(now: Levels, before: Levels) -> Values:
    """(_MAPS, blocks)."""
    half = np.float32(0.5**0.5)  # a difference has twice the variance
    luma, chroma = ((one - other) * half for one, other in zip(now, before, strict=True))
    maps = [*_energies(now[0], 3), *_energies(luma, 3), *_of_chroma(now[1]), *_of_chroma(chroma)]
    return np.stack([each.ravel() for each in maps])


def _of_chroma(planes: Values) -> list[Values]:
    """Across, down and diagonal together, of U and V: one value for each of two scales."""
    u, v = (_energies(plane, 2) for plane in planes)
    third, two = np.float32(1 / 3), np.float32(2)
    return [(u[at] + v[at] + (u[at + 1] + v[at + 1]) / two) * third for at in (0, 2)]


def _energies(plane: Values, scales: int) -> list[Values]:
    """Of each block, mean squares of the details across or down, and of the diagonal ones, finest scale first.

    A block is 2 ** ``scales`` pixels wide. In orthonormal details white noise has its own variance.
    """
    found = []
    side = 1 << scales
    for _ in range(scales):
        side //= 2
        total, down = plane[::2] + plane[1::2], plane[::2] - plane[1::2]
        across, diagonal = total[:, ::2] - total[:, 1::2], down[:, ::2] - down[:, 1::2]
        plane, down = total[:, ::2] + total[:, 1::2], down[:, ::2] + down[:, 1::2]
        # Sums and differences of four values are twice the orthonormal ones.
        found += [
            _means(np.square(across) + np.square(down), side) / np.float32(8),
            _means(np.square(diagonal), side) / np.float32(4),
        ]
        plane = plane / np.float32(2)
    return found


def _means(values: Values, side: int) -> Values:
    """Means of ``side`` x ``side`` values; slices are added, for numpy is slow along short axes."""
    for _ in range(2):
        values = reduce(np.add, [values[first::side] for first in range(side)]).T
    means: Values = values / np.float32(side * side)
    return means


def _quantiles(rows: Values, shares: npt.NDArray[np.float64]) -> Values:
    """Of each row, (rows, shares); the value below, not one between two."""
    ordered = np.sort(rows, axis=1)
    found: Values = ordered[:, (shares * rows.shape[1]).astype(int)]
    return found


def _correlation(one: Values, other: Values) -> float:
    one, other = one - one.mean(), other - other.mean()
    power = float(np.sqrt(np.square(one).mean() * np.square(other).mean() + 1e-3))
    return float((one * other).mean()) / power
