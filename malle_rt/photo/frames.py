"""Videos through a network for photographs: each frame by itself, for who wants nothing to come from its neighbours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import cast

import numpy as np
import numpy.typing as npt

from malle_rt.backends.base import BackendInfo, BlockingSession, FrameShape, Planes420, Session
from malle_rt.config import DenoiseConfig
from malle_rt.contract import Noise
from malle_rt.errors import ConfigError
from malle_rt.fields import by_field
from malle_rt.frame import Frame, Plane, Surface, pixel_layout
from malle_rt.media.rgb import from_order, to_order
from malle_rt.photo.denoiser import ArrayCanvas, PhotoDenoiser
from malle_rt.photo.noise import Treatment

__all__ = ["FrameByFrame", "FrameByFrameBackend"]

LOOKED_AT = 12  # frames from one measurement of the noise to the next


class FrameByFrame:
    """Denoise frames one by one; of an interlaced frame, each field.

    What the network takes away in RGB is taken away from the planes: what it leaves is as it was, to the last bit.

    Attributes:
        sigma: what the last frame was denoised with, 8-bit scale.
        untouched: frames that "auto" left as they were, for it found next to no noise.
    """

    ahead = 0

    def __init__(self, config: DenoiseConfig) -> None:
        """Open the network.

        Raises:
            ConfigError: a backend or a precision that it does not run in.
            BackendError: it cannot be opened here.
        """
        if config.chroma_strength is not None:
            raise ConfigError(f"model {config.model} works in RGB: it has no strength of the chroma's own")
        self._denoiser = PhotoDenoiser(config=config)
        self.backend = str(self._denoiser.info)
        self.notes = self._denoiser.info.notes
        self._config = config
        self._chosen: Treatment | None = None
        self._until = 0  # frames before the next measurement
        self.sigma = 0.0
        self.untouched = 0

    def start(self, frame: Frame) -> Callable[[], Frame]:
        """Clean one frame. Errors as of ``PhotoDenoiser.denoise``."""
        if isinstance(frame.planes, Surface):
            frame = replace(frame, planes=tuple(frame.planes))
        measure, self._until = self._until == 0, (self._until or LOOKED_AT) - 1
        clean = by_field(frame, lambda picture: self._clean(picture, measure=measure))
        self.untouched += self._chosen is None
        return lambda: clean

    def forget(self) -> None:
        """Measure the noise of the next frame."""
        self._until = 0

    def close(self) -> None:
        """Release the network. May be called twice."""
        self._denoiser.close()

    @property
    def info(self) -> BackendInfo:
        """What is running."""
        return self._denoiser.info

    @property
    def network_span(self) -> tuple[float, float] | None:
        """See ``PhotoDenoiser``."""
        return self._denoiser.network_span

    def _clean(self, frame: Frame, *, measure: bool) -> Frame:
        noisy = to_order(frame, "rgb48le")
        canvas = ArrayCanvas(noisy.copy())
        if measure:
            self._chosen = self._denoiser.examine(canvas, self._config.strength, self._config.mix)
        self.sigma = self._chosen.sigma if self._chosen is not None else 0.0
        if self._chosen is None:
            return frame
        self._denoiser.treat(canvas, self._chosen)
        before, after = (from_order(pixels, "rgb48le", frame) for pixels in (noisy, canvas.pixels))
        largest = (1 << pixel_layout(frame.pix_fmt).bits) - 1
        planes = tuple(_changed(*each, largest) for each in zip(frame.planes, before, after, strict=True))
        return replace(frame, planes=planes)


class FrameByFrameBackend:
    """The same behind the contract of backends, of 8-bit 4:2:0, for the benchmark.

    Args:
        config: its strength is fixed, its backend not "auto" by chance: errors as of ``FrameByFrame``.
    """

    def __init__(self, config: DenoiseConfig) -> None:
        self._denoiser = FrameByFrame(config)

    @property
    def info(self) -> BackendInfo:
        """What is running."""
        return self._denoiser.info

    def prepare(self, shape: FrameShape) -> Session:
        """Nothing to make ready before the first frame."""
        return _Session(self._denoiser, shape)

    def close(self) -> None:
        """Release the network. May be called twice."""
        self._denoiser.close()


class _Session(BlockingSession):
    def __init__(self, denoiser: FrameByFrame, shape: FrameShape) -> None:
        self._denoiser, self._shape = denoiser, shape

    def run(self, planes: Planes420, noise: Noise, state: object | None) -> tuple[Planes420, object]:
        """See ``Session``; the strength is the denoiser's own."""
        frame = Frame(planes=planes, pix_fmt="yuv420p", pts=0, time_base=Fraction(1, 25))
        clean = self._denoiser.start(frame)()
        self.network_span = self._denoiser.network_span
        return (clean.planes[0], clean.planes[1], clean.planes[2]), None


def _changed(plane: Plane, before: Plane, after: Plane, largest: int) -> Plane:
    """A plane with the difference between two others added."""
    sums: npt.NDArray[np.int32] = plane.astype(np.int32) + after - before
    return cast(Plane, np.clip(sums, 0, largest).astype(plane.dtype))
