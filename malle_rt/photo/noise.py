"""What noise a photograph has, and how a network that is told nothing of it is made to take more, or other, noise away.

The network (MalleNet) was trained on white noise, independent in R, G and B, and takes other noise for texture: that of
gray pictures, which is the same in all three, and that of cameras, which have developed, smoothed and compressed it.
So white noise is added first, as much as hides the noise that is there, and is taken away with it. Added once and
subtracted once, what remains of it cancels in the mean of the two results.

Noise is looked at along three axes that are orthogonal and of unit length: gray, and two of colour. White RGB noise has
the same standard deviation along each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from malle_rt.config import MAX_SIGMA, SHARES, Strength
from malle_rt.estimate import BLOCK, estimate_sigma, flattest_sigma

__all__ = ["Treatment", "found_noise", "noise_pattern", "treatment"]

# Rows are the axes.
AXES = np.array(
    [[1 / 3**0.5] * 3, [0.5**0.5, -(0.5**0.5), 0], [1 / 6**0.5, 1 / 6**0.5, -2 / 6**0.5]], np.float32
)
# Divisors that bring a projection on each axis into a plane of codes, with no clipping.
_SCALES = (3**0.5, 2**0.5, 6**0.5 * 2 / 3)
HIGHEST = 60.0  # white noise that the network knows, a little more than it was trained with
HIDING = 8.0  # white noise that hides coarse noise, as a multiple of what half the picture's size shows of it
COARSE = 2.0  # coarse is noise that, at half the size, is so many times as strong as the finest details tell
QUARTER = 3.0  # noise of colour at a quarter of the size, as a multiple of that at half of it
TEXTURE = 1.2  # what clean pictures show at half the size, 8-bit scale
NEXT_TO_NOTHING = 0.8  # white noise, 8-bit scale, that auto leaves alone
ALIKE = 1.5  # levels of the axes that differ by no more than this factor are those of white noise
FINE = 3.0  # from such a level on, 8-bit scale, what else there is at half the size is texture
PERIOD = 512  # of the added pattern, in pixels

Values = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Found:
    """Noise of one picture.

    Attributes:
        axes: standard deviation along gray and the two colour axes that the finest details tell, 8-bit scale.
        coarse: what half the size shows beyond that, of noise that a camera or an encoder has smoothed; 0 in gray ones,
            where nothing tells it from texture.
        gray: whether the picture has no colour.
    """

    axes: tuple[float, float, float]
    coarse: float
    gray: bool

    @property
    def white(self) -> float:
        """White noise per channel of RGB that is as strong as the strongest axis."""
        return max(self.axes)

    @property
    def white_per_sigma(self) -> float:
        """White noise that is as strong as the strongest axis of noise like this, for each sigma that a channel shows.

        1 of white noise, the root of 3 of noise that is the same in all three channels, as a video's luma has it.
        """
        if self.gray:
            return 3**0.5
        return self.white * 3**0.5 / math.hypot(*self.axes) if self.white > FINE else 1.0

    @property
    def hidden_by(self) -> float:
        """White noise that hides all of it."""
        return min(math.hypot(self.white, HIDING * self.coarse), HIGHEST)


@dataclass(frozen=True)
class Treatment:
    """What is done with a picture.

    Attributes:
        sigma: strength that is told, 8-bit scale: standard deviation of the noise taken away as a channel shows it.
        added: standard deviation of the noise added along the three axes, 8-bit scale; all 0: none.
        share: of the clean picture in the result.
    """

    sigma: float
    added: tuple[float, float, float]
    share: float


def found_noise(sample: Values) -> Found:
    """Look at a picture, or at parts of it below each other whose sides are multiples of 16.

    Args:
        sample: (H, W, 3) RGB, 8-bit scale.
    """
    gray = bool((sample[..., 0] == sample[..., 1]).all() and (sample[..., 1] == sample[..., 2]).all())
    axes = [
        scale * (estimate_sigma(codes, _BITS) or 0.0)
        for scale, codes in zip(_SCALES, _axis_codes(sample), strict=True)
    ]
    if gray:
        axes[1:] = 0.0, 0.0
    first, second, third = axes
    is_white = min(axes) > max(FINE, max(axes) / ALIKE)
    coarse = 0.0 if gray or is_white else _coarse(sample, first / 3**0.5)
    return Found((first, second, third), coarse, gray)


_BITS = 14  # fractions of an 8-bit step count in pictures of half the size
_HALF_RANGE = 128


def _axis_codes(sample: Values) -> list[npt.NDArray[np.uint16]]:
    """Projections on the axes; those on colours lie around the middle."""
    planes: Values = sample @ (AXES / np.array(_SCALES, np.float32)[:, None]).T
    planes[..., 1:] += _HALF_RANGE
    return [_codes(planes[..., axis]) for axis in range(3)]


def _codes(plane: Values) -> npt.NDArray[np.uint16]:
    top = (1 << _BITS) - 1
    return np.clip(np.rint(plane * (1 << (_BITS - 8))), 0, top).astype(np.uint16)


def _coarse(sample: Values, finest: float) -> float:
    """Noise that half the size shows in luma and in colour both: texture is seldom in both, such noise always."""
    half = _halved(sample)
    if min(half.shape[:2]) < 2 * BLOCK:
        return 0.0
    luma: Values = half @ np.full(3, 1 / 3, np.float32)
    # Files hold colour at half the size, and compress it: there, a quarter of the size still shows it.
    colour = max(2 * _in_colours(half), 4 / QUARTER * _in_colours(_halved(half)))
    shown = min(2 * (estimate_sigma(_codes(luma), _BITS) or 0.0), colour)
    return math.sqrt(max(0.0, shown**2 - (COARSE * finest) ** 2 - TEXTURE**2))


def _halved(picture: Values) -> Values:
    rows, columns = (side // 2 for side in picture.shape[:2])
    squares = picture[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2, 3)
    half: Values = squares.mean((1, 3), dtype=np.float32)
    return half


def _in_colours(picture: Values) -> float:
    """Of the differences from green, that with less noise."""
    levels = []
    for channel in (0, 2):
        difference: Values = (picture[..., channel] - picture[..., 1]) / np.float32(2)
        levels.append(2 * (flattest_sigma(_codes(difference + np.float32(_HALF_RANGE)), _BITS) or 0.0))
    return min(levels)


def treatment(found: Found, strength: Strength, mix: float) -> Treatment | None:
    """What to do for the strength that was asked for; None: leave the picture as it is.

    Args:
        found: its noise.
        strength: sigma of the noise, 8-bit scale, or a word, see ``malle_rt.config``.
        mix: share of the clean picture.
    """
    white_per_sigma = found.white_per_sigma
    if isinstance(strength, str):
        wanted = SHARES[strength] * found.hidden_by
        if found.hidden_by < NEXT_TO_NOTHING:
            return None
    else:
        wanted = strength * white_per_sigma
    if wanted == 0 or mix == 0:
        return None
    level = min(max(wanted, found.white), HIGHEST)
    gray, first, second = (
        math.sqrt(level**2 - each**2) if level > ALIKE * each else 0.0 for each in found.axes
    )
    share = min(1.0, wanted / level) * mix
    sigma = min(wanted / white_per_sigma, MAX_SIGMA)
    return Treatment(sigma, (gray, first, second), share)


def noise_pattern(added: tuple[float, float, float]) -> Values:
    """(PERIOD, PERIOD, 3) RGB noise to add, in [0, 1]; it repeats, and is the same every time."""
    white = np.random.default_rng(20).standard_normal((PERIOD, PERIOD, 3), np.float32)
    pattern: Values = (white * (np.array(added, np.float32) / np.float32(255))) @ AXES
    return pattern
