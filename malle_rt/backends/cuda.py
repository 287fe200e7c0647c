"""The network by torch, everything around it by our kernels: NVIDIA GPUs without TensorRT, and their yardstick."""

from __future__ import annotations

import logging

from malle_rt.backends.base import BackendInfo, FrameShape, Session
from malle_rt.backends.gpu.opening import open_session, precision_for
from malle_rt.cuda.driver import Driver
from malle_rt.cuda.kernels import Kernels
from malle_rt.cuda.launches import Storage, padded_size
from malle_rt.cuda.opening import open_driver
from malle_rt.errors import BackendUnavailable, ConfigError
from malle_rt.models import checksum, model_file

try:
    import torch

    from malle_rt.backends.gpu.torch_network import TorchNetwork, capture
    from malle_rt.net import rt, rt2
    from malle_rt.net.weights import load_video_net
except ImportError as exc:
    raise BackendUnavailable(
        f"backend 'cuda' needs torch and safetensors ({exc}): pip install 'malle-rt[torch,cuda]'"
    ) from exc

__all__ = ["CudaBackend"]

log = logging.getLogger(__name__)

_STORAGE: dict[str, Storage] = {"fp16": "f16", "fp32": "f32"}


class CudaBackend:
    """Run a network's weights with torch on an NVIDIA GPU.

    Args:
        model: name of the network.
        precision: "fp16" or "fp32".
        adapter: of the CUDA driver, "auto", "cuda-bindings" or "pycuda".
        device: CUDA's number of the GPU.
        graphs: whether a frame may run as one CUDA graph.
        widen: whether depths that fp16 cannot hold are computed in fp32.

    Raises:
        BackendUnavailable: no GPU, no driver, or a torch without CUDA.
        ConfigError: for another precision.
    """

    def __init__(
        self,
        model: str,
        *,
        precision: str = "fp16",
        adapter: str = "auto",
        device: int = 0,
        graphs: bool = True,
        widen: bool = False,
    ) -> None:
        if precision not in _STORAGE:
            raise ConfigError(f"backend 'cuda' runs in {' or '.join(_STORAGE)}, not in {precision}")
        if not torch.cuda.is_available():
            raise BackendUnavailable(
                f"backend 'cuda' needs a torch with CUDA and a GPU; torch {torch.__version__} finds none here"
            )
        self._path = path = model_file(model, ".safetensors")
        self._widen = widen
        self._driver: Driver = open_driver(adapter, device)
        self._device = torch.device("cuda", self._driver.device.index)
        try:
            self._kernels = Kernels(self._driver)
            self._nets = {precision: self._loaded(precision)}
        except BaseException:
            self._driver.close()
            raise
        self._capture = capture(self._device) if graphs else None
        self._info = BackendInfo(
            name="cuda",
            model=model,
            precision=precision,
            device=f"{self._driver.device.name} ({self._driver.name})",
            weights=checksum(path),
            gpu=self._driver.device.index,
            told="noise" if isinstance(self._nets[precision], rt2.FoldedRT) else "sigma",
        )

    @property
    def info(self) -> BackendInfo:
        """What is running."""
        return self._info

    def prepare(self, shape: FrameShape) -> Session:
        """Allocate for a size, run it once and capture it."""
        size = padded_size(shape.width, shape.height)
        precision = self._info.precision
        if self._widen:
            precision = precision_for(precision, shape.bits)
        if precision not in self._nets:
            self._nets[precision] = self._loaded(precision)
        return open_session(
            self._driver,
            self._kernels,
            lambda: TorchNetwork(self._nets[precision], *size, _STORAGE[precision], self._kernels),
            shape,
            capture=self._capture,
            model=self._info.model,
        )

    def close(self) -> None:
        """Release the driver's context. May be called twice."""
        self._driver.close()

    def _loaded(self, precision: str) -> rt.MalleNetRT | rt2.FoldedRT:
        """The network on the GPU; raises ``BackendUnavailable`` where this torch was not built for it."""
        loaded = load_video_net(self._path)
        dtype = torch.float16 if precision == "fp16" else torch.float32
        net = rt2.FoldedRT(loaded).eval() if isinstance(loaded, rt2.MalleNetRT) else loaded.folded()
        try:
            net = net.to(self._device, dtype)
            return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]  # not in torch's stubs
        except RuntimeError as exc:
            reason = str(exc).partition("\n")[0]
            raise BackendUnavailable(
                f"torch {torch.__version__} does not run on {self._driver.device.name}: {reason}"
            ) from exc
