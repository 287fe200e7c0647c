"""An engine on the GPU: a session that runs it, and the trial of a new one."""

from __future__ import annotations

import logging
from pathlib import Path

from malle_rt.backends.base import FrameShape
from malle_rt.backends.gpu.opening import open_session
from malle_rt.backends.gpu.photo import DevicePhotoNet
from malle_rt.backends.gpu.session import GpuSession
from malle_rt.backends.gpu.trial import require_agreement, require_likeness
from malle_rt.backends.photo import trial_picture
from malle_rt.cuda.driver import Driver
from malle_rt.cuda.kernels import Kernels
from malle_rt.cuda.launches import padded_size
from malle_rt.measuring import psnr
from malle_rt.models import photo_model_names
from malle_rt.trt.engines import EngineSpec
from malle_rt.trt.flavour import Flavour
from malle_rt.trt.network import TensorRTNetwork

__all__ = ["EngineRunner"]

log = logging.getLogger(__name__)

# Luma of the trial, where the profile takes it: odd, so that padding is part of it, and quick for the reference.
_TRIAL = (350, 202)


class EngineRunner:
    """Runs the engines of one TensorRT flavour on one GPU.

    Args:
        flavour: that builds and runs them.
        driver: of the GPU; stays the caller's.
        kernels: loaded on it.
        graphs: whether a frame may run as one CUDA graph, where the driver's adapter can.
    """

    def __init__(self, flavour: Flavour, driver: Driver, kernels: Kernels, *, graphs: bool = True) -> None:
        self._flavour, self._driver, self._kernels = flavour, driver, kernels
        self._capture = driver.capture if graphs and not driver.no_graphs else None

    def session(
        self, spec: EngineSpec, engine: bytes, shape: FrameShape, *, compiled: Path | None = None
    ) -> GpuSession:
        """Make an engine ready for a frame size.

        Args:
            spec: what the engine is.
            engine: its bytes, trusted.
            shape: of the frames.
            compiled: file in which TensorRT-RTX keeps what it compiles; None: nowhere.

        Raises:
            EngineMismatch, BackendError: see ``TensorRTNetwork``.
        """
        rows, columns = padded_size(shape.width, shape.height)
        return open_session(
            self._driver,
            self._kernels,
            lambda: TensorRTNetwork(
                self._flavour, engine, rows, columns, self._kernels, kernels_file=compiled
            ),
            shape,
            capture=self._capture,
            model=spec.identity.model,
        )

    def photo(
        self, engine: bytes, rows: int, columns: int, *, compiled: Path | None = None
    ) -> DevicePhotoNet:
        """Make an engine for photographs ready for a size. Arguments and errors as of ``session``."""
        self._driver.make_current()
        network = TensorRTNetwork(self._flavour, engine, rows, columns, self._kernels, kernels_file=compiled)
        return DevicePhotoNet(self._driver, network, rows, columns)

    def try_out(self, spec: EngineSpec, engine: bytes) -> float:
        """Run the first frames of a new engine beside the embedded backend in float32.

        Returns:
            PSNR in dB between the two.

        Raises:
            BackendError: it does not run, or not as the network does.
        """
        if spec.identity.model in photo_model_names():
            return self._try_picture(spec, engine)
        from malle_rt.backends.openvino import OpenVinoBackend

        profile = spec.request.profile
        shape = FrameShape(*(_TRIAL if profile.accepts(*_TRIAL) else profile.opt))
        reference = OpenVinoBackend(spec.identity.model).prepare(shape)
        session = self.session(spec, engine, shape)
        try:
            found = require_agreement(
                session,
                reference,
                shape,
                precision=spec.identity.precision,
                what=f"the {self._flavour.title} engine",
            )
        finally:
            session.close()
        log.info("the new engine agrees with the reference: %.1f dB", found)
        return found

    def _try_picture(self, spec: EngineSpec, engine: bytes) -> float:
        from malle_rt.backends.openvino_photo import OpenVinoPhotoNet

        columns, rows = spec.request.profile.min
        noisy = trial_picture(rows, columns)
        reference = OpenVinoPhotoNet(spec.identity.model).run(noisy)
        ready = self.photo(engine, rows, columns)
        try:
            found = psnr(ready.run(noisy), reference, peak=1)
        finally:
            ready.close()
        require_likeness(found, spec.identity.precision, f"the {self._flavour.title} engine")
        log.info("the new engine agrees with the reference: %.1f dB", found)
        return found
