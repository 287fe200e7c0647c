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
pictures as still cameras develop them. In a video, frames that follow each other tell it; see ``stillness``.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from malle_rt.frame import Plane
from malle_rt.stillness import Pooled, change_between, pooled, sigma_of_changes

__all__ = ["SigmaEstimator", "estimate_sigma", "flattest_sigma"]

BLOCK = 8  # side of a voting block, in pixels: small, for the flat parts of a textured picture are small
MAX_PIXELS = 1 << 19  # larger pictures are sampled by rows of blocks
BLACK, WHITE = 16, 235  # of limited range; in full range a little more than needed stays out
SURELY_CLIPPED = 4  # blocks whose mean is so near to black or white tell nothing
MARGIN = 2.0  # standard deviations of the noise that a voting block's mean keeps from black and white
FARTHEST = 0.05  # share of the blocks, those farthest from the ends, that vote even within the margin
SMOOTHED = 1.5  # times the level of one picture, above which what changes counts: noise is not white, then
REMEMBERED = 3  # findings of what changes, the least of which counts: motion leads astray to more
PASSES = 3  # the margin depends on the noise that is found with it
# Of blocks of like texture: how many, unless they came to fewer blocks than that.
GROUPS, SMALLEST_GROUP = 32, 16

_WITNESSES = 3  # pictures of a measurement
# Frames they are looked for in: a repeated one is known beside one that is not, and each may come four times.
_SHORTEST, _LONGEST = 5, 16
# Of the largest change: a frame that brings less repeats the picture before, however an encoder has altered it since.
REPEATED = 0.1

_DETAILS = (BLOCK // 2) ** 2  # of one orientation in a block
# The median of a mean of squares of normal values, for a variance of 1 (Wilson and Hilferty, PNAS 1931).
_MEDIAN = (1 - 2 / (9 * _DETAILS)) ** 3
# The lowest twentieth of such means with the details of all three orientations, likewise.
_FLATTEST = (1 - 2 / (27 * _DETAILS) - 1.645 * math.sqrt(2 / (27 * _DETAILS))) ** 3

# Attributes of a ``SigmaEstimator`` that are plain numbers.
_KNOWN = ("since", "white", "goal", "sigma", "settled", "looking")

Values = npt.NDArray[np.float32]


def estimate_sigma(luma: Plane, bits: int = 8) -> float | None:
    """Standard deviation of white noise in one luma plane.

    Args:
        luma: (rows, columns), uint8 or uint16.
        bits: significant bits of a sample.

    Returns:
        Sigma on the 8-bit scale; None where it cannot be told: smaller than one block, or black or white all over.
    """
    mean, texture, diagonal = _blocks(luma, bits)
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


class SigmaEstimator:
    """Estimate for a video: measured on the first of every ``every`` frames and approached little by little.

    A few frames behind it are looked at as well: where three pictures show that something stands still, what changes
    between them tells how strong noise is that one picture cannot tell, because it has been smoothed; see
    ``stillness``. The least of the last few findings is kept while nothing stands still. Frames that repeat a picture
    (30 in 60 a second, 3:2) are passed over: between them, noise does not change.

    The strength jumps only after ``restart``; when the light changes it has come nine tenths of the way after about 30
    frames. Pictures that tell nothing, such as the black ones of a fade, leave it as it is; the next one is looked at
    again.

    Args:
        every: frames from one measurement to the next, at least 4.
        inertia: share of the way to a measurement that is still to go when the next one is due, 0 to 1.
    """

    def __init__(self, *, every: int = 8, inertia: float = 0.4) -> None:
        self._every = every
        self._step = 1 - inertia ** (1 / every)  # share of the way, of one frame
        self._since = every  # frames since the last measurement began
        self._white = self._goal = 0.0
        self._changes: deque[float] = deque(maxlen=REMEMBERED)
        self._sigma: float | None = None
        self._settled = False  # whether what is there comes from this shot
        self._witnesses = _Witnesses()
        self._looking = False  # whether a measurement has begun

    def update(self, planes: Sequence[Plane], bits: int) -> float | None:
        """Look at the next frame's luma; returns the smoothed sigma, 8-bit scale, or None while nothing is known.

        Planes that are not looked at are not touched: those on a GPU stay there.
        """
        if self._looking or self._since >= self._every:
            self._look(planes[0], bits)
        else:
            self._since += 1
        if self._sigma is not None:
            self._sigma += self._step * (self._goal - self._sigma)
        return self._sigma

    def restart(self) -> None:
        """Another shot begins: its first pictures are measured alone.

        Until three are there, the last estimate counts, if one picture does not tell of more: most videos come from
        one camera, and a burst of noise at every cut would be seen.
        """
        self._since, self._looking, self._settled = self._every, False, False
        self._changes.clear()

    def saved(self) -> dict[str, Any]:
        """What is known of the video so far, for ``restore``: numbers, and arrays of numpy's."""
        numbers = {name: getattr(self, f"_{name}") for name in _KNOWN}
        return {**numbers, "changes": list(self._changes), "witnesses": self._witnesses.saved()}

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on as the one does that ``saved`` comes from."""
        for name in _KNOWN:
            setattr(self, f"_{name}", saved[name])
        self._changes.clear()
        self._changes.extend(saved["changes"])
        self._witnesses.restore(saved["witnesses"])

    def _look(self, luma: Plane, bits: int) -> None:
        """One of the frames of a measurement; the next frame takes its place if it tells nothing."""
        if not self._looking:
            white = estimate_sigma(luma, bits)
            if white is None:
                self._goal = self._sigma or 0.0
                return
            self._white = white
            self._witnesses.begin()
            self._looking, self._since = True, 0
        self._since += 1
        pictures = self._witnesses.add(pooled(luma, bits))
        enough = len(pictures) >= _WITNESSES
        found = sigma_of_changes(*pictures[:_WITNESSES]) if enough else None
        self._looking = self._since < (_SHORTEST if enough else _LONGEST)
        changing = min((*self._changes, *([found] if found else [])), default=0.0)
        if not self._looking and found:
            self._changes.append(found)
        self._goal = changing if changing > SMOOTHED * self._white else self._white
        if not self._settled:
            if not enough and self._looking:
                self._goal = max(self._goal, self._sigma or 0.0)
            self._settled = not self._looking
            self._sigma = self._goal


class _Witnesses:
    """The frames of a measurement, of which some may repeat the picture before."""

    def __init__(self) -> None:
        self._frames: list[Pooled] = []
        self._changes: list[float] = []  # to each frame from the one before it

    def saved(self) -> dict[str, Any]:
        return {"frames": list(self._frames), "changes": list(self._changes)}

    def restore(self, saved: dict[str, Any]) -> None:
        self._frames, self._changes = list(saved["frames"]), list(saved["changes"])

    def begin(self) -> None:
        """Another measurement."""
        self._frames.clear()
        self._changes.clear()

    def add(self, frame: Pooled) -> list[Pooled]:
        """Take the next frame; gives those so far that bring a picture of their own."""
        if self._frames and frame.shape != self._frames[-1].shape:
            self.begin()
        if self._frames:
            self._changes.append(change_between(self._frames[-1], frame))
        self._frames.append(frame)
        least = REPEATED * max(self._changes, default=0.0)
        changed = zip(self._frames[1:], self._changes, strict=True)
        return [self._frames[0], *(each for each, change in changed if change > least)]
