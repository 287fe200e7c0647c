"""Frame in, frame out: everything between a decoded frame and a backend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast

import numpy as np

from malle_rt.backends.base import Backend, FrameShape, Session, SurfaceSession
from malle_rt.chroma import from_420, to_420
from malle_rt.config import MAX_SIGMA, DenoiseConfig
from malle_rt.estimate import SigmaEstimator
from malle_rt.frame import Frame, PixelLayout, Plane, Surface, pixel_layout

__all__ = ["FrameDenoiser", "PassThrough"]


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

    The recurrent state belongs to one video: use one FrameDenoiser per video.

    Attributes:
        sigma: what the last frame was denoised with, 8-bit scale.
        keep_surfaces: whether frames that come on a GPU are to stay there; set before the first.
    """

    def __init__(self, backend: Backend, config: DenoiseConfig) -> None:
        self._backend = backend
        self._config = config
        self._estimator = SigmaEstimator() if config.strength == "auto" else None
        self.sigma = 0.0 if config.strength == "auto" else config.strength
        self.keep_surfaces = False
        self._shape: FrameShape | None = None
        self._session: Session | None = None
        self._state: object | None = None

    @property
    def ahead(self) -> int:
        """See ``Denoiser``; known once the first frame has been started."""
        return self._session.ahead if self._session is not None else 0

    @property
    def gpu(self) -> int | None:
        """Number of the NVIDIA GPU whose memory frames may come from; None: only host memory."""
        return self._backend.info.gpu

    def start(self, frame: Frame) -> Callable[[], Frame]:
        """Begin to clean one frame; the next one is taken to follow it in time.

        Raises:
            ConfigError: for a pix_fmt that is not planar YUV or gray.
            BackendError: when the backend cannot take this size, or fails; the result may raise it too.
        """
        layout = pixel_layout(frame.pix_fmt)
        if self._estimator is not None:
            self.sigma = min(self._estimator.update(frame.planes, layout.bits), MAX_SIGMA)
        session = self._prepared(self._shape_of(frame, layout))
        if isinstance(frame.planes, Surface) and isinstance(session, SurfaceSession):
            return self._start_surface(session, frame, frame.planes)
        planes = tuple(frame.planes)
        noisy = to_420(planes, layout)
        result, self._state = session.start(noisy, self.sigma, self._state)
        return lambda: self._finished(frame, from_420(result(), noisy, planes, layout))

    def denoise(self, frame: Frame) -> Frame:
        """Clean one frame and wait for it; errors as ``start``."""
        return self.start(frame)()

    def close(self) -> None:
        """Release the session and the backend. May be called twice."""
        self._end_session()
        self._backend.close()

    def _start_surface(self, session: SurfaceSession, frame: Frame, surface: Surface) -> Callable[[], Frame]:
        result, self._state = session.start_surface(surface, self.sigma, self._state)
        if self._config.mix < 1:
            return lambda: self._finished(frame, result())
        bare = replace(
            frame, planes=()
        )  # the decoder gets its memory back as soon as the session has read it
        return lambda: replace(bare, planes=result())

    def _finished(self, frame: Frame, clean: Sequence[Plane]) -> Frame:
        """The frame with new planes, in part if the user wants that."""
        if self._config.mix < 1:
            clean = tuple(map(self._mixed, frame.planes, clean))
        return replace(frame, planes=clean)

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
        self._session = self._state = None

    def _mixed(self, noisy: Plane, clean: Plane) -> Plane:
        mix = np.float32(self._config.mix)
        blend = (1 - mix) * noisy.astype(np.float32) + mix * clean.astype(np.float32)
        return cast(Plane, np.rint(blend).astype(noisy.dtype))
