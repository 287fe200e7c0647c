"""How large live pictures are denoised: a share that the user chooses, or the largest that keeps the source's rate."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from statistics import median
from typing import Literal, cast, get_args

import numpy as np

from malle_rt.errors import ConfigError
from malle_rt.fields import by_field
from malle_rt.frame import Frame, VideoInfo
from malle_rt.live.frame import LiveFrame
from malle_rt.media.pixel_formats import plain_name
from malle_rt.media.planes import rescaled

__all__ = [
    "SCALES",
    "Scale",
    "SizeKeeper",
    "check_scale",
    "fitting",
    "largest_fitting",
    "noise_frames",
    "scaled_frame",
    "scaled_size",
]

Scale = Literal["auto", "1", "3/4", "1/2", "1/3", "1/4"]
SCALES: tuple[Scale, ...] = get_args(Scale)
# Numerator and denominator of each, large to small.
_SHARES = {name: tuple(map(int, (name + "/1").split("/")[:2])) for name in SCALES[1:]}
_SMALLEST = 32  # samples of a side
# Shares of the time between two frames: denoising may take so much, and must fit into so much to grow again.
_BUDGET, _EASY = 0.8, 0.55
_MEASURED = 24  # frames
# Seconds that a size stays at least, the time of its own measuring, and before it grows.
_SHRINKS_AFTER, _GROWS_AFTER = 2.0, 10.0


def check_scale(scale: str) -> None:
    """Refuse what is no scale.

    Raises:
        ConfigError: one line.
    """
    if scale not in SCALES:
        raise ConfigError(f"scale must be one of {', '.join(SCALES)}, got {scale!r}")


def scaled_size(width: int, height: int, scale: Scale) -> tuple[int, int]:
    """(width, height) at a share other than "auto": even, and no side below 32 that was not."""
    above, below = _SHARES[scale]
    if above == below:
        return width, height
    wide, high = (max(min(side, _SMALLEST), round(side * above / below / 2) * 2) for side in (width, height))
    return wide, high


def scaled_frame(frame: LiveFrame, scale: Scale) -> LiveFrame:
    """The frame at a share of its size, each field by itself; the decoder's own picture does not come along."""
    size = scaled_size(frame.width, frame.height, scale)
    if size == (frame.width, frame.height):
        return frame

    def smaller(part: Frame, height: int) -> Frame:
        made = rescaled(replace(part, origin=None), (size[0], height), plain_name(part.pix_fmt))
        return replace(made, pix_fmt=part.pix_fmt)

    if frame.fields is None:
        return cast(LiveFrame, smaller(frame, size[1]))
    lines = -(-size[1] // 4) * 2  # of a field; an even number has whole lines of chroma
    return cast(LiveFrame, by_field(frame, lambda half: smaller(half, lines)))


def largest_fitting(seconds: float, now: Scale, rate: float, share: float = _BUDGET) -> Scale:
    """The largest share whose frames fit, from what a frame takes at the one of now; the smallest where none does."""
    budget = share / rate
    for name, (above, below) in _SHARES.items():
        here = _SHARES[now]
        if seconds * (above * here[1] / (below * here[0])) ** 2 <= budget:
            return name
    return SCALES[-1]


class SizeKeeper:
    """Chooses the share while it is "auto": smaller where frames take too long, larger again where there is room.

    Args:
        first: the share to begin with.
        clock: counts seconds.

    Attributes:
        scale: in force now.
    """

    def __init__(self, first: Scale = "1", clock: Callable[[], float] = time.monotonic) -> None:
        self.scale: Scale = first
        self._clock = clock
        self._since = clock()
        self._seconds: deque[float] = deque(maxlen=_MEASURED)

    def add(self, seconds: float) -> None:
        """A frame has taken so long at the share of now."""
        self._seconds.append(seconds)

    def look(self, rate: float) -> bool:
        """Whether the share is another from now on, for a source of so many frames per second."""
        stood = self._clock() - self._since
        if rate <= 0 or len(self._seconds) < _MEASURED // 2 or stood < _SHRINKS_AFTER:
            return False
        taken = median(self._seconds)
        wanted = largest_fitting(taken, self.scale, rate)
        if SCALES.index(wanted) < SCALES.index(self.scale):
            wanted = largest_fitting(taken, self.scale, rate, _EASY)
            if stood < _GROWS_AFTER or SCALES.index(wanted) > SCALES.index(self.scale):
                wanted = self.scale
        return self.choose(wanted)

    def choose(self, scale: Scale) -> bool:
        """Take this share; whether it is another one."""
        if scale == self.scale:
            return False
        self.scale, self._since = scale, self._clock()
        self._seconds.clear()
        return True


def fitting(
    info: VideoInfo, models: tuple[str, ...], scale: Scale, seconds_of: Callable[[str, int, int], float]
) -> tuple[str, Scale, float]:
    """The best network whose frames fit into the source's rate, and the largest share at which they do.

    Args:
        info: of the source.
        models: to choose from, the fastest first; a better one is tried where the one before fits.
        scale: "auto", or the share that is wanted.
        seconds_of: measures a frame: model, width, height.

    Returns:
        Network, share, and the seconds that its frame is expected to take.
    """
    rate = float(info.frame_rate or 30)
    begin: Scale = "1" if scale == "auto" else scale
    size = scaled_size(info.width, info.height, begin)
    model, taken = models[0], seconds_of(models[0], *size)
    for better in models[1:]:
        if taken > _BUDGET / rate or (longer := seconds_of(better, *size)) > _BUDGET / rate:
            break
        model, taken = better, longer
    fits = largest_fitting(taken, begin, rate) if scale == "auto" else begin
    (above, below), (over, under) = _SHARES[fits], _SHARES[begin]
    return model, fits, taken * (above * under / (below * over)) ** 2


def noise_frames(width: int, height: int, count: int) -> list[LiveFrame]:
    """Frames to measure a network with: a grey picture and its noise, other noise in each."""
    random = np.random.default_rng(0)
    shapes = ((height, width), *(((height + 1) // 2, (width + 1) // 2),) * 2)
    return [
        LiveFrame(
            tuple(random.integers(96, 160, shape, np.uint8) for shape in shapes),
            "yuv420p", number, Fraction(1, 30),
        )
        for number in range(count)
    ]  # fmt: skip
