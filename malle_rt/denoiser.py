"""Frame in, frame out: everything between a decoded frame and a backend."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np

from malle_rt.backends.base import Backend, FrameShape, Session
from malle_rt.chroma import from_420, to_420
from malle_rt.config import MAX_SIGMA, DenoiseConfig
from malle_rt.estimate import SigmaEstimator
from malle_rt.frame import Frame, Plane, pixel_layout

__all__ = ["FrameDenoiser", "PassThrough"]


class PassThrough:
    """Leaves every frame as it is, bit for bit: strength 0, and backend "none"."""

    def denoise(self, frame: Frame) -> Frame:
        """Return the frame itself."""
        return frame

    def close(self) -> None:
        """Nothing is held."""


class FrameDenoiser:
    """Denoise frames of any planar format, size and depth with one backend.

    The recurrent state belongs to one video: use one FrameDenoiser per video.

    Attributes:
        sigma: what the last frame was denoised with, 8-bit scale.
    """

    def __init__(self, backend: Backend, config: DenoiseConfig) -> None:
        self._backend = backend
        self._config = config
        self._estimator = SigmaEstimator() if config.strength == "auto" else None
        self.sigma = 0.0 if config.strength == "auto" else config.strength
        self._shape: FrameShape | None = None
        self._session: Session | None = None
        self._state: object | None = None

    def denoise(self, frame: Frame) -> Frame:
        """Clean one frame; the next one is taken to follow it in time.

        Raises:
            ConfigError: for a pix_fmt that is not planar YUV or gray.
            BackendError: when the backend cannot take this size, or fails.
        """
        layout = pixel_layout(frame.pix_fmt)
        noisy = to_420(frame.planes, layout)
        session = self._prepared(FrameShape(frame.width, frame.height, layout.bits))
        if self._estimator is not None:
            self.sigma = min(self._estimator.update(frame.planes[0], layout.bits), MAX_SIGMA)
        clean, self._state = session.run(noisy, self.sigma, self._state)
        planes = from_420(clean, noisy, frame.planes, layout)
        if self._config.mix < 1:
            planes = tuple(map(self._mixed, frame.planes, planes))
        return replace(frame, planes=planes)

    def close(self) -> None:
        """Release the session and the backend. May be called twice."""
        self._session = self._state = None
        self._backend.close()

    def _prepared(self, shape: FrameShape) -> Session:
        if self._session is None or shape != self._shape:
            self._state = None
            self._session, self._shape = self._backend.prepare(shape), shape
        return self._session

    def _mixed(self, noisy: Plane, clean: Plane) -> Plane:
        mix = np.float32(self._config.mix)
        blend = (1 - mix) * noisy.astype(np.float32) + mix * clean.astype(np.float32)
        return cast(Plane, np.rint(blend).astype(noisy.dtype))
