"""How noisy a video is, and what its noise is like, from two frames at a time: a small network on ``noise_features``.

It was trained on noise as cameras, tapes and encoders leave it, in moving and in still pictures
(``tools/train_noise.py``). What one picture cannot tell from texture differs from frame to frame, once the frame before
has been moved to where it is now.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from malle_rt.contract import Noise
from malle_rt.errors import KernelError
from malle_rt.estimate import estimate_sigma
from malle_rt.frame import Plane
from malle_rt.models import weights_file
from malle_rt.noise_features import FLOOR, Levels, features
from malle_rt.ops.native import Alignment

__all__ = ["LEAST_SIDE", "REACH", "Look", "NoiseEstimator", "parts_of"]

SIDES = (96, 160)  # rows and columns of what is looked at in each quarter of a frame
UNIT = 16  # sides are multiples of
LEAST_SIDE = 2 * UNIT  # of the luma; smaller pictures are mirrored
WITNESSES = (
    5  # frames of a measurement: of so many, two show different pictures, even where 15 come in 60 a second
)
REPEATED = 0.3  # of the noise's standard deviation: the mean change to a frame with noise of its own is 1.1
# Sigma was learned on sequences of six frames. Where a picture stands still for longer, more is better if the
# noise is coarse. It stands still where moving it changes next to nothing.
STILL = 0.97  # of the difference between two frames, that is left of it when the older one has been moved
LONGER, COARSE = 0.4, 0.3  # share that is added from such a coarseness on, and less below
HIGHEST = 8.0  # logarithm (base 2) of a standard deviation, for whatever strange pictures
REACH = 4.0  # standard deviations of the training's features, beyond which one tells no more

Values = npt.NDArray[np.float32]
Planes420 = tuple[Plane, Plane, Plane]

log = logging.getLogger(__name__)


class NoiseEstimator:
    """Estimate for a video: measured on a few of every ``every`` frames and approached little by little.

    Of these few, the two neighbours that differ most are measured: others may repeat a picture, as an encoder has left
    it. The first frame of a video tells of white noise, as one picture does, and the next few are measured as they
    come. What is told jumps only then and after ``restart``; when the light changes it has come nine tenths of the way
    after about 30 frames. Pictures that tell nothing, such as the black ones of a fade, leave it as it is.

    Args:
        every: frames from one measurement to the next, at least ``WITNESSES``.
        inertia: share of the way to a measurement that is still to go when the next one is due, 0 to 1.
    """

    def __init__(self, *, every: int = 12, inertia: float = 0.25) -> None:
        self._every = every
        self._step = np.float32(1 - inertia ** (1 / every))  # share of the way, of one frame
        self._told: Values | None = None
        self._goal: Values | None = None
        self._white = 0.0  # what the first picture of the shot told
        self.restart()

    def update(self, planes: Callable[[], Planes420 | Look], bits: int) -> Noise | None:
        """Go on to the next frame; returns its noise as far as it is known.

        Args:
            planes: gives Y, U and V of 4:2:0, or the look itself; called where the frame is looked at.
            bits: significant bits of a sample.
        """
        if self._since >= self._every:
            self._begin()
        if self._since < WITNESSES:
            seen = planes()
            self._look(seen if isinstance(seen, Look) else Look.at(seen, bits))
        self._since += 1
        if self._told is not None and self._goal is not None:
            self._told = self._told + self._step * (self._goal - self._told)
        return None if self._told is None else _noise(self._told)

    def restart(self) -> None:
        """Another shot begins: what it shows counts at once, and more than the last one only until it is measured."""
        self._settled = self._seen = False  # whether this shot has been measured; has been told anything of
        self._begin()

    def saved(self) -> dict[str, Any]:
        """What is known of the video so far, for ``restore``: numbers, and arrays of numpy's."""
        looks = {name: look and look.saved() for name, look in self._looks.items()}
        return {"looks": looks, **{name: getattr(self, f"_{name}") for name in _KNOWN}}

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on as the one does that ``saved`` comes from."""
        for name in _KNOWN:
            setattr(self, f"_{name}", saved[name])
        self._looks = {name: look and Look(**look) for name, look in saved["looks"].items()}

    def _begin(self) -> None:
        self._since = 0  # frames since the measurement began
        # The last frame, and the two that differ most.
        self._looks = _no_looks()
        self._change = 0.0  # from "before" to "now"

    def _look(self, look: Look) -> None:
        last = self._looks["last"]
        if last is None or last.shape != look.shape or not (self._seen or self._settled):
            self._begin()
            if not self._settled:
                self._begin_shot(look)
        elif (change := look.change_from(last)) > self._change:
            self._looks |= {"before": last, "now": look}
            self._change = change
            # Where not even the noise is another, it is the same picture.
            if not self._settled and change >= REPEATED * self._white:
                self._jump(look.tells(last))
        self._looks["last"] = look
        if self._since < WITNESSES - 1:
            return
        before, now = self._looks["before"], self._looks["now"]
        if self._settled and before is not None and now is not None:
            found = now.tells(before)
            self._goal = self._goal if found is None else found
        self._settled = self._seen
        self._looks = _no_looks()
        if not self._settled:
            self._since = self._every  # the next frame is looked at

    def _begin_shot(self, look: Look) -> None:
        found = look.tells_of_white()
        if found is not None:
            self._white = float(found[0])
            self._jump(found if self._told is None else np.maximum(found, self._told))

    def _jump(self, told: Values | None) -> None:
        if told is not None:
            self._seen = True
            self._told = self._goal = told


def _difference(one: Values, other: Values) -> float:
    return float(np.abs(one[::4] - other[::4]).mean())


def _no_looks() -> dict[str, Look | None]:
    return {"last": None, "before": None, "now": None}


# Attributes of a ``NoiseEstimator`` that are plain numbers and arrays.
_KNOWN = ("told", "goal", "white", "settled", "seen", "since", "change")


@dataclass(frozen=True, eq=False)
class Look:
    """What is kept of a frame: a few parts of it.

    Attributes:
        luma: (parts, H, W), codes.
        chroma: (2, parts, H/2, W/2).
        bits: significant bits of a sample.
    """

    luma: Plane
    chroma: Plane
    bits: int

    @classmethod
    def at(cls, planes: Planes420, bits: int) -> Look:
        """Rows and columns are dropped, or mirrored where there are too few."""
        y, u, v = (_at_least(plane, UNIT if index else LEAST_SIDE) for index, plane in enumerate(planes))
        parts = parts_of(*y.shape)
        chroma = [np.stack([plane[_halved(part)] for part in parts]) for plane in (u, v)]
        luma = np.stack([y[part] for part in parts])
        return cls(cast(Plane, luma), cast(Plane, np.stack(chroma)), bits)

    def saved(self) -> dict[str, Any]:
        """What makes another one like it."""
        return {"luma": self.luma, "chroma": self.chroma, "bits": self.bits}

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the luma."""
        return self.luma.shape

    def change_from(self, before: Look) -> float:
        """Mean difference between two frames, of every fourth row, 8-bit scale."""
        rows, others = (look.luma[:, ::4].astype(np.int32) for look in (self, before))
        return float(np.abs(rows - others).mean()) / (1 << (self.bits - 8))

    def tells_of_white(self) -> Values | None:
        """As ``tells``, of white noise and from this picture alone."""
        sigma = estimate_sigma(self.luma.reshape(-1, self.shape[2]), self.bits)
        if sigma is None:
            return None
        return np.array((sigma, sigma, Noise.white(sigma).chroma, sigma, 0.0), np.float32)

    def tells(self, before: Look) -> Values | None:
        """(5,): the fields of ``Noise``, the last two exchanged; None where next to all is black or white."""
        align = _alignment(*self.shape)
        if align is None:
            return self.tells_of_white()
        now, past = self._levels(), before._levels()
        moved = align(now, past)
        seen = features(now, moved)
        if seen is None:
            return None
        told = _network()(seen)
        if _difference(now[0], moved[0]) > STILL * _difference(now[0], past[0]):
            told[3] *= 1 + LONGER * min(told[4] / COARSE, 1)
        return told

    def _levels(self) -> Levels:
        scale = np.float32(1 / (1 << (self.bits - 8)))
        parts, height, width = self.shape
        luma = self.luma.reshape(parts * height, width) * scale
        return luma, self.chroma.reshape(2, parts * height // 2, width // 2) * scale


def _noise(told: Values) -> Noise:
    dark, bright, chroma, white, coarse = told.tolist()
    return Noise(dark, bright, chroma, coarse, as_white=white)


def parts_of(rows: int, columns: int) -> list[tuple[slice, slice]]:
    """Rows and columns of the luma to look at: the middles of a picture's quarters, or all of a small one."""
    if rows >= 2 * SIDES[0] and columns >= 2 * SIDES[1]:
        return [
            (_middle(top, rows // 2, SIDES[0]), _middle(left, columns // 2, SIDES[1]))
            for top in (0, rows // 2)
            for left in (0, columns // 2)
        ]
    height, width = (
        min(side, 2 * most) // UNIT * UNIT for side, most in zip((rows, columns), SIDES, strict=True)
    )
    return [(_middle(0, rows, height), _middle(0, columns, width))]


def _at_least(plane: Plane, side: int) -> Plane:
    missing = [max(0, side - length) for length in plane.shape]
    if not any(missing):
        return plane
    return cast(Plane, np.pad(plane, [(0, more) for more in missing], mode="symmetric"))


def _middle(first: int, length: int, wanted: int) -> slice:
    begin = (first + (length - wanted) // 2) // 2 * 2
    return slice(begin, begin + wanted)


def _halved(part: tuple[slice, slice]) -> tuple[slice, slice]:
    rows, columns = (slice(each.start // 2, each.stop // 2) for each in part)
    return rows, columns


@lru_cache(maxsize=4)  # a video has one size
def _alignment(parts: int, rows: int, columns: int) -> Callable[[Levels, Levels], Levels] | None:
    try:
        return Alignment(parts, rows, columns)
    except KernelError as exc:
        log.info("noise is estimated from single pictures, as white noise: %s", exc)
        return None


@cache
def _network() -> Callable[[Values], Values]:
    with np.load(weights_file("noise")) as file:
        layers = {name: file[name].astype(np.float32) for name in file.files}

    def run(seen: Values) -> Values:
        seen = np.clip((seen - layers["mean"]) / layers["spread"], -REACH, REACH)
        values = seen
        for number in ("1", "2"):
            values = np.maximum(layers[f"weight{number}"] @ values + layers[f"bias{number}"], 0)
        said = layers["weight3"] @ values + layers["direct"] @ seen + layers["bias3"]
        # Of the standard deviations, it says logarithms.
        levels = np.maximum(np.exp2(np.minimum(said[:4], HIGHEST)) - np.float32(FLOOR), 0)
        told: Values = np.append(levels, np.clip(said[4], 0, 1))
        return told

    return run
