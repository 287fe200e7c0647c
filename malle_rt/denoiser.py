"""Frame in, frame out: everything between a decoded frame and a backend."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, replace
from functools import cache
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from malle_rt.backends.base import Backend, FrameShape, Session, SurfaceSession
from malle_rt.chroma import from_420, to_420
from malle_rt.config import MAX_SIGMA, SHARES, DenoiseConfig, Strength
from malle_rt.contract import Noise
from malle_rt.cuts import CutDetector, row_step
from malle_rt.errors import ConfigError
from malle_rt.fields import split_fields, weave_fields
from malle_rt.frame import Frame, PixelLayout, Plane, Surface, pixel_layout
from malle_rt.learned_estimate import LEAST_SIDE, Look, NoiseEstimator, parts_of
from malle_rt.telecine import TelecineDetector

__all__ = ["ALMOST_NO_NOISE", "FrameDenoiser", "PassThrough", "Seen"]

# For a user who asked for "auto", where it left most of the frames as they were.
ALMOST_NO_NOISE = "almost no noise found; `--strength 4` cleans anyway"

# Noise that auto leaves alone, 8-bit scale: rounding to 8 bits alone makes 0.3.
NEXT_TO_NOTHING = 0.5
_SAMPLED = 61  # every so many rows are compared first: frames that differ do so there
# An encoder leaves a picture that comes again nearly as it was: so many of its blocks to the last bit, and of the
# others each small cell near its mean, in standard deviations of the noise. So many such copies may follow one picture.
_BLOCK, _SAME_BLOCKS = 16, 0.6
_CELL, _SAME_MEAN = 4, 1.2
_MOST_COPIES = 3

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Seen:
    """What a picture told before the network saw it.

    Attributes:
        cut: whether a new shot begins with it.
        noise: estimated in the video up to it; None where nothing is known, or it was not looked at.
    """

    cut: bool = False
    noise: Noise | None = None


class PassThrough:
    """Leaves every frame as it is, bit for bit: strength 0, and backend "none"."""

    ahead = 0

    def start(self, frame: Frame) -> Callable[[], Frame]:
        """Give the frame itself."""
        return lambda: frame

    def close(self) -> None:
        """Nothing is held."""


class FrameDenoiser:
    """Denoise frames of any planar format, size and depth with one backend.

    The recurrent state belongs to one video: use one FrameDenoiser per video, or ``forget`` between two. At a cut it
    is forgotten. Frames on a GPU are looked at there, and only a few numbers come down.
    Of an interlaced frame each field is denoised as a picture of its own, whose past is the fields of its parity;
    frames on a GPU come to host memory for that.

    In host memory, a frame whose samples are those of the one before gets the same result again, and the network does
    not run: a duplicate tells nothing new. So does one that an encoder has made of a duplicate, whose few changes lie
    below the noise: to the network, noise that stays is texture. Nor does it run where "auto" finds next to no noise.

    Attributes:
        sigma: what the last frame was denoised with, 8-bit scale.
        untouched: frames that "auto" left as they were, for it found next to no noise.
        keep_surfaces: whether frames that come on a GPU are to stay there; set before the first.
        seen: what the last frame told; of an interlaced one, its top and its bottom field.
        borrows: whether planes may be overwritten once their result is there: then frames are not compared with the
            one before.
    """

    def __init__(self, backend: Backend, config: DenoiseConfig, *, watch: bool = False) -> None:
        """Nothing is prepared before the first frame.

        Args:
            backend: what runs the network; closed by ``close``.
            config: its strengths and mix are used here.
            watch: whether the noise is estimated where nothing depends on it, too.

        Raises:
            ConfigError: a strength of the chroma's own for a network that is told one number.
        """
        if config.chroma_strength and backend.info.told != "noise":
            raise ConfigError(
                f"model {backend.info.model} is told one strength for luma and chroma: chroma strength "
                f"{config.chroma_strength:g} needs another network; 0 leaves the chroma as it is"
            )
        self._backend = backend
        self._config = config
        self._watch = watch
        self._estimator = NoiseEstimator()
        self._cuts = CutDetector()
        self._found: Noise | None = None
        self.sigma = 0.0 if isinstance(config.strength, str) else config.strength
        self.keep_surfaces = self.borrows = False
        self.untouched = 0
        self.seen: tuple[Seen, ...] = ()
        self._last: tuple[Frame, Callable[[], Frame]] | None = (
            None  # as it came, and what waits for its result
        )
        self._copies = 0  # frames since, that are not that one to the last bit
        self._shape: FrameShape | None = None
        self._session: Session | None = None
        self._state: object | None = None
        # For the top and the bottom fields, once there is one; whether the last frame was interlaced.
        self._parities: tuple[FrameDenoiser, FrameDenoiser] | None = None
        self._interlaced = False
        self._telecine = TelecineDetector()

    @property
    def ahead(self) -> int:
        """See ``Denoiser``; known once the first frame has been started."""
        if self._interlaced and self._parities is not None:
            return self._parities[0].ahead
        return self._session.ahead if self._session is not None else 0

    @property
    def watches(self) -> bool:
        """Whether the noise is estimated where the strength is given, too: the network is told all of it."""
        return self._watch or self._backend.info.told == "noise"

    @property
    def estimated(self) -> float | None:
        """Noise estimated in the video so far, 8-bit scale; None where it was not looked at yet."""
        if self._interlaced and self._parities is not None:
            found = [each.estimated for each in self._parities if each.estimated is not None]
            return sum(found) / len(found) if found else None
        return None if self._found is None else self._found.sigma

    @property
    def gpu(self) -> int | None:
        """Number of the NVIDIA GPU whose memory frames may come from; None: only host memory."""
        return self._backend.info.gpu

    def start(self, frame: Frame, told: Sequence[Seen] = ()) -> Callable[[], Frame]:
        """Begin to clean one frame; the next one is taken to follow it in time.

        Args:
            frame: in any planar format.
            told: what ``seen`` was for this frame in an earlier run: it is not looked at again then.

        Raises:
            ConfigError: for a pix_fmt that is not planar YUV or gray.
            BackendError: when the backend cannot take this size, or fails; the result may raise it too.
        """
        layout = pixel_layout(frame.pix_fmt)
        interlaced = frame.fields is not None and frame.height > 1
        if interlaced != self._interlaced:
            self.forget()  # what is older than the last change has nothing to do with this frame
            self._interlaced = interlaced
        if interlaced:
            return self._start_fields(frame, told)
        if self._last is not None and self._is_copy(frame, self._last[0], layout.bits):
            again = self._last[1]
            self._last = frame, again
            self.seen = (Seen(False, self._found),)
            return lambda: replace(frame, planes=again().planes)
        self._last = None
        self._copies = 0
        config = self._config
        self.seen = (told[0] if told else self._look_at(frame, layout),)
        if self.seen[0].cut:
            self.forget()
        self._found = self._as_told(self.seen[0].noise)
        noise = self._to_remove()
        self.sigma = noise.sigma
        if not any(config.shares):
            self.sigma = 0.0
            self.forget()
            return lambda: frame
        if (
            isinstance(config.strength, str)
            and max(self.sigma, config.chroma_strength or 0.0) < NEXT_TO_NOTHING
            and not isinstance(frame.planes, Surface)
        ):
            self.sigma = 0.0
            self.untouched += 1
            self.forget()
            return lambda: frame
        session = self._prepared(self._shape_of(frame, layout))
        if isinstance(frame.planes, Surface) and isinstance(session, SurfaceSession):
            return self._start_surface(session, frame, frame.planes, noise)
        planes = tuple(frame.planes)
        noisy = to_420(planes, layout)
        result, self._state = session.start(noisy, noise, self._state)
        finish = cache(lambda: _finished(frame, from_420(result(), noisy, planes, layout), config.shares))
        if not (isinstance(frame.planes, Surface) or self.borrows):
            self._last = frame, finish
        return finish

    def _is_copy(self, frame: Frame, other: Frame, bits: int) -> bool:
        if _same_samples(frame, other):
            return True
        self._copies += 1
        tolerance = _SAME_MEAN * self.sigma * 2 ** (bits - 8)
        return self._copies <= _MOST_COPIES and _nearly_same(frame, other, tolerance)

    def _look_at(self, frame: Frame, layout: PixelLayout) -> Seen:
        planes, bits = frame.planes, layout.bits
        on_gpu = self._on_gpu(frame, layout) if isinstance(planes, Surface) else None
        if not isinstance(planes, Surface):
            cut = self._cuts.update(planes[0], bits)
        else:
            pixels = frame.width * frame.height
            cut = on_gpu is not None and self._cuts.update_sums(
                on_gpu.block_sums(planes, row_step(pixels)), bits
            )
        if cut:
            self._estimator.restart()
        if not (self.watches or isinstance(self._config.strength, str)):
            return Seen(cut, self._found)

        def look() -> tuple[Plane, Plane, Plane] | Look:
            if on_gpu is None or min(frame.width, frame.height) < LEAST_SIDE:
                return to_420(tuple(planes), layout)
            return Look(*on_gpu.parts(cast(Surface, planes), parts_of(frame.height, frame.width)), bits)

        found = self._estimator.update(look, bits)
        return Seen(cut, None if found is None else found.limited(MAX_SIGMA))

    def _on_gpu(self, frame: Frame, layout: PixelLayout) -> SurfaceSession | None:
        """What can look at a frame where it is; None where nothing will run anyway."""
        if not any(self._config.shares):
            return None
        session = self._prepared(self._shape_of(frame, layout))
        return session if isinstance(session, SurfaceSession) else None

    def _as_told(self, found: Noise | None) -> Noise | None:
        """What was found, less what is for networks alone that are told one number."""
        return found and (replace(found, as_white=None) if self._backend.info.told == "noise" else found)

    def _to_remove(self) -> Noise:
        """What the network is told.

        A strength by hand is that of white noise in RGB, but as coarse as was found, and with as much in the chroma if
        that is more: a tape's is ten times what its luma makes one expect.
        """
        strength, found = self._config.strength, self._found
        if isinstance(strength, str):
            noise = Noise.white(0.0) if found is None else found.times(SHARES[strength])
        else:
            noise = Noise.white(strength)
            if found is not None:
                noise = replace(noise, chroma=max(noise.chroma, found.chroma), coarse=found.coarse)
        if self._config.chroma_strength is not None:
            noise = replace(noise, chroma=self._config.chroma_strength)
        return noise.limited(MAX_SIGMA)

    def denoise(self, frame: Frame) -> Frame:
        """Clean one frame and wait for it; errors as ``start``."""
        return self.start(frame)()

    def adjust(self, *, strength: Strength, mix: float) -> None:
        """Change the settings from the next frame on; by the thread that starts frames.

        Raises:
            ConfigError: for a value outside its range; nothing is changed.
        """
        if (strength, mix) != (self._config.strength, self._config.mix):
            self._config = replace(self._config, strength=strength, mix=mix)
            self._last = None
        for each in self._parities or ():
            each.adjust(strength=strength, mix=mix)

    def forget(self) -> None:
        """Take the next frame for the first of a video: nothing of the ones before will show through."""
        self._state = self._last = None
        for each in self._parities or ():
            each.forget()

    def restart(self) -> None:
        """Take the next frame for the first of another video, whose noise is measured anew, too."""
        self.forget()
        self._estimator, self._cuts, self._telecine = NoiseEstimator(), CutDetector(), TelecineDetector()
        self._found = None
        for each in self._parities or ():
            each.restart()

    def saved(self) -> dict[str, Any]:
        """What has been learned of cuts and noise so far, for ``restore``: numbers, and arrays of numpy's."""
        return {
            "cuts": self._cuts.saved(),
            "estimator": self._estimator.saved(),
            "found": None if self._found is None else astuple(self._found),
            "interlaced": self._interlaced,
            "last": self._last is not None,
            "copies": self._copies,
            "sigma": self.sigma,
            "parities": [each.saved() for each in self._parities or ()],
        }

    def restore(self, saved: dict[str, Any], before: Frame) -> None:
        """Look at frames from now on as the one did that ``saved`` comes from.

        Args:
            saved: what its ``saved`` gave.
            before: the frame that it had looked at last; its result is not known here.
        """
        self._cuts.restore(saved["cuts"])
        self._estimator.restore(saved["estimator"])
        self._found = None if saved["found"] is None else Noise(*saved["found"])
        self._interlaced = saved["interlaced"]
        self._state = None
        self._last = (before, lambda: before) if saved["last"] else None
        self._copies, self.sigma = saved["copies"], saved["sigma"]
        if saved["parities"]:
            self._parities = self._new_parities()
            halves = split_fields(before) if before.fields is not None else (before, before)
            for each, its, half in zip(self._parities, saved["parities"], halves, strict=True):
                each.restore(its, half)

    def close(self) -> None:
        """Release the session and the backend. May be called twice."""
        for each in self._parities or ():
            each._end_session()
        self._end_session()
        self._backend.close()

    def _new_parities(self) -> tuple[FrameDenoiser, FrameDenoiser]:
        top, bottom = (FrameDenoiser(self._backend, self._config, watch=self._watch) for _ in range(2))
        return top, bottom

    def _start_fields(self, frame: Frame, told: Sequence[Seen]) -> Callable[[], Frame]:
        if self._parities is None:
            self._parities = self._new_parities()
        halves = split_fields(frame)
        if not told and self._telecine.update(halves[0].planes[0], halves[1].planes[0]):
            log.warning(
                "this is film with repeated fields (hard telecine, 3:2 pulldown): its fields are denoised as they "
                "come. FFmpeg's filters fieldmatch,decimate before would give the film's own pictures"
            )
        started = [
            parity.start(half, told[number : number + 1])
            for number, (parity, half) in enumerate(zip(self._parities, halves, strict=True))
        ]
        self.seen = tuple(seen for each in self._parities for seen in each.seen)
        self.sigma = sum(each.sigma for each in self._parities) / 2
        self.untouched = sum(each.untouched for each in self._parities) // 2
        return lambda: weave_fields(frame, *(finish().planes for finish in started))

    def _start_surface(
        self, session: SurfaceSession, frame: Frame, surface: Surface, noise: Noise
    ) -> Callable[[], Frame]:
        result, self._state = session.start_surface(surface, noise, self._state)
        shares = self._config.shares
        if min(shares) < 1:
            return lambda: _finished(frame, result(), shares)
        # The decoder gets its memory back as soon as the session has read it.
        bare = replace(frame, planes=())
        return lambda: replace(bare, planes=result())

    def _shape_of(self, frame: Frame, layout: PixelLayout) -> FrameShape:
        shape = FrameShape(frame.width, frame.height, layout.bits)
        if not isinstance(frame.planes, Surface):
            return shape
        return replace(shape, pitches=frame.planes.pitches, stays=self.keep_surfaces)

    def _prepared(self, shape: FrameShape) -> Session:
        if self._session is None or shape != self._shape:
            self._end_session()
            self._session, self._shape = self._backend.prepare(shape), shape
        return self._session

    def _end_session(self) -> None:
        if self._session is not None:
            self._session.close()
        self._session = self._state = self._last = None


def _same_samples(frame: Frame, other: Frame) -> bool:
    """Whether two frames in host memory show the same picture, to the last bit."""
    ours, theirs = frame.planes, other.planes
    if isinstance(ours, Surface) or isinstance(theirs, Surface) or frame.pix_fmt != other.pix_fmt:
        return False
    return np.array_equal(ours[0][::_SAMPLED], theirs[0][::_SAMPLED]) and all(
        np.array_equal(mine, its) for mine, its in zip(ours, theirs, strict=True)
    )


def _nearly_same(frame: Frame, other: Frame, tolerance: float) -> bool:
    """Whether two frames in host memory show one picture that an encoder has coded twice.

    Args:
        frame: one of them.
        other: the one before.
        tolerance: by which the mean of a small cell may have changed, in code values.
    """
    ours, theirs = frame.planes, other.planes
    if isinstance(ours, Surface) or isinstance(theirs, Surface) or frame.pix_fmt != other.pix_fmt:
        return False
    if (
        ours[0].shape != theirs[0].shape
        or np.mean(ours[0][::_SAMPLED] == theirs[0][::_SAMPLED]) < _SAME_BLOCKS
    ):
        return False
    changed = _cells(ours[0] != theirs[0], _BLOCK).any((1, 3))
    if not changed.size or changed.mean() > 1 - _SAME_BLOCKS:
        return False
    return all(
        np.abs(_cells(np.subtract(mine, its, dtype=np.float32), _CELL).mean((1, 3))).max(initial=0)
        <= tolerance
        for mine, its in zip(ours, theirs, strict=True)
    )


def _cells(plane: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    """(H, W) as (rows, size, columns, size), without what does not fill a cell at the right and bottom."""
    rows, columns = plane.shape[0] // size, plane.shape[1] // size
    return plane[: rows * size, : columns * size].reshape(rows, size, columns, size)


def _finished(frame: Frame, clean: Sequence[Plane], shares: tuple[float, float]) -> Frame:
    """The frame with new planes, in part if the user wants that."""
    if min(shares) < 1:
        luma, chroma = shares
        planes = zip(frame.planes, clean, (luma, chroma, chroma), strict=False)  # gray has no chroma
        clean = tuple(_mixed(*each) for each in planes)
    return replace(frame, planes=clean)


def _mixed(noisy: Plane, clean: Plane, share: float) -> Plane:
    if share in (0, 1):
        return clean if share else noisy
    share = np.float32(share)
    blend = (1 - share) * noisy.astype(np.float32) + share * clean.astype(np.float32)
    return cast(Plane, np.rint(blend).astype(noisy.dtype))
