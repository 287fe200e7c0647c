"""TensorRT, in either flavour: an engine built from the portable graph for this GPU, kept and run by our session."""

from __future__ import annotations

from pathlib import Path

from malle_rt.backends.base import BackendInfo, FrameShape, Session
from malle_rt.backends.gpu.engine import EngineRunner
from malle_rt.backends.gpu.opening import precision_for
from malle_rt.cuda.kernels import Kernels
from malle_rt.cuda.opening import open_driver
from malle_rt.models import checksum, graph_file
from malle_rt.trt.cache import EngineCache, read_foreign
from malle_rt.trt.engines import ready_engine, served_capabilities, specify
from malle_rt.trt.flavour import load_flavour
from malle_rt.trt.onnx_file import input_names
from malle_rt.trt.profiles import profile_for

__all__ = ["TensorRTBackend"]


class TensorRTBackend:
    """Run a network with TensorRT on an NVIDIA GPU.

    Args:
        flavour: "tensorrt" or "tensorrt-rtx".
        model: name of the network.
        precision: "fp16", "int8" or "fp32".
        adapter: of the CUDA driver, "auto", "cuda-bindings" or "pycuda".
        device: CUDA's number of the GPU.
        graphs: whether a frame may run as one CUDA graph, where the adapter can.
        widen: whether depths that fp16 cannot hold are computed in fp32.
        engine: an engine from outside the private cache; None: the cache, built where it has none.
        trust_engine: whether the user vouches for ``engine``.

    Raises:
        BackendUnavailable: no such TensorRT, no driver, or a GPU it does not serve.
        ConfigError: no such model or precision.
    """

    def __init__(
        self,
        flavour: str,
        model: str,
        *,
        precision: str = "fp16",
        adapter: str = "auto",
        device: int = 0,
        graphs: bool = True,
        widen: bool = False,
        engine: Path | None = None,
        trust_engine: bool = False,
    ) -> None:
        graph = graph_file(model, precision)
        self._flavour = load_flavour(flavour)
        self._engine, self._trust, self._widen = engine, trust_engine, widen and engine is None
        self._cache = EngineCache()
        self._driver = driver = open_driver(adapter, device)
        try:
            served_capabilities(self._flavour, driver.device, precision)
            self._kernels = Kernels(driver)
            self._runner = EngineRunner(self._flavour, driver, self._kernels, graphs=graphs)
        except BaseException:
            driver.close()
            raise
        self._info = BackendInfo(
            name=flavour,
            model=model,
            precision=precision,
            device=f"{driver.device.name} ({self._flavour.title}, {driver.name})",
            weights=checksum(graph),
            notes=("no CUDA graphs",) if driver.no_graphs else (),
            gpu=driver.device.index,
            told="noise" if "noise" in input_names(graph.read_bytes()) else "sigma",
        )

    @property
    def info(self) -> BackendInfo:
        """What is running."""
        return self._info

    def prepare(self, shape: FrameShape) -> Session:
        """Load the engine of the profile that takes this size, built and tried first where there is none."""
        precision = self._info.precision
        if self._widen:
            precision = precision_for(precision, shape.bits)
        spec = specify(
            self._flavour,
            profile_for(shape.width, shape.height),
            self._driver.device,
            model=self._info.model,
            precision=precision,
            kernels=self._kernels.checksum,
        )
        if self._engine is not None:
            engine = read_foreign(self._engine, spec.identity, trust=self._trust)
            return self._runner.session(spec, engine, shape)
        compiled = self._cache.kernels_path(spec.identity)
        ready = ready_engine(
            spec,
            self._cache,
            lambda engine: self._runner.session(spec, engine, shape, compiled=compiled),
            check=lambda engine: self._runner.try_out(spec, engine),
        )
        return ready.loaded

    def close(self) -> None:
        """Release the driver's context. May be called twice."""
        self._driver.close()
