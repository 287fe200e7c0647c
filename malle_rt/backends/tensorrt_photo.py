"""A network for photographs in TensorRT, of either flavour: one engine for the tile and all sizes below it."""

from __future__ import annotations

from pathlib import Path

from malle_rt.backends.base import BackendInfo
from malle_rt.backends.gpu.engine import EngineRunner
from malle_rt.backends.photo import PhotoNet, ReadyPhotoNet
from malle_rt.cuda.kernels import Kernels
from malle_rt.cuda.opening import open_driver
from malle_rt.models import checksum, photo_graph
from malle_rt.trt.cache import EngineCache, read_foreign
from malle_rt.trt.engines import ready_engine, served_capabilities, specify
from malle_rt.trt.flavour import load_flavour
from malle_rt.trt.profiles import PHOTO

__all__ = ["TensorRTPhotoNet"]


class TensorRTPhotoNet(PhotoNet):
    """Run a network for photographs with TensorRT on an NVIDIA GPU. Arguments and errors as ``TensorRTBackend``."""

    def __init__(
        self,
        flavour: str,
        model: str,
        *,
        precision: str = "fp16",
        adapter: str = "auto",
        gpu: int = 0,
        engine: Path | None = None,
        trust_engine: bool = False,
    ) -> None:
        super().__init__()
        graph = photo_graph(model, precision)
        self._flavour = load_flavour(flavour)
        self._engine, self._trust, self._cache = engine, trust_engine, EngineCache()
        self._driver = driver = open_driver(adapter, gpu)
        try:
            served_capabilities(self._flavour, driver.device, precision)
            kernels = Kernels(driver)
            self._runner = EngineRunner(self._flavour, driver, kernels)
            self._spec = specify(
                self._flavour,
                PHOTO,
                driver.device,
                model=model,
                precision=precision,
                kernels=kernels.checksum,
            )
        except BaseException:
            driver.close()
            raise
        device = f"{driver.device.name} ({self._flavour.title}, {driver.name})"
        self.info = BackendInfo(flavour, model, precision, device, checksum(graph))

    def close(self) -> None:
        """See ``PhotoNet``."""
        super().close()
        self._driver.close()

    def _prepare(self, rows: int, columns: int) -> ReadyPhotoNet:
        if self._engine is not None:
            engine = read_foreign(self._engine, self._spec.identity, trust=self._trust)
            return self._runner.photo(engine, rows, columns)
        compiled = self._cache.kernels_path(self._spec.identity)
        ready = ready_engine(
            self._spec,
            self._cache,
            lambda engine: self._runner.photo(engine, rows, columns, compiled=compiled),
            check=lambda engine: self._runner.try_out(self._spec, engine),
        )
        return ready.loaded
