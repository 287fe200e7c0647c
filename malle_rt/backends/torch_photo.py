"""A network for photographs as torch defines it: the yardstick, and NVIDIA GPUs without TensorRT."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack, nullcontext

import numpy as np

from malle_rt.backends.base import BackendInfo
from malle_rt.backends.photo import PhotoNet, Pixels, ReadyPhotoNet
from malle_rt.cuda.driver import Driver
from malle_rt.cuda.kernels import Kernels
from malle_rt.cuda.opening import open_driver
from malle_rt.errors import BackendUnavailable, KernelError, OutOfDeviceMemory
from malle_rt.models import checksum, model_file

try:
    import torch

    from malle_rt.backends.gpu.torch_network import sliced_by
    from malle_rt.net.weights import load_stills_net
except ImportError as exc:
    raise BackendUnavailable(
        f"backends 'torch' and 'cuda' need torch and safetensors ({exc}): pip install 'malle-rt[torch]'"
    ) from exc

__all__ = ["CudaPhotoNet", "TorchPhotoNet"]


class TorchPhotoNet(PhotoNet):
    """Eager torch in float32, on the GPU where torch has one.

    Args:
        model: name of the network.
        device: of torch; None: "cuda" where there is one, else "cpu".

    Raises:
        ConfigError: no such model.
        BackendError: its weights cannot be read.
    """

    _name, _precision, _dtype = "torch", "fp32", torch.float32

    def __init__(self, model: str, *, device: str | None = None) -> None:
        super().__init__()
        path = model_file(model, ".safetensors")
        self._device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self._net = load_stills_net(path).to(self._device, self._dtype)
        where = str(self._device)
        if self._device.type == "cpu":
            where = f"CPU ({torch.get_num_threads()} threads)"
        self.info = BackendInfo(self._name, model, self._precision, where, checksum(path))

    @torch.inference_mode()
    @torch.backends.cudnn.flags(enabled=True, allow_tf32=False)  # a yardstick does not round to 10 bits
    def run(self, noisy: Pixels) -> Pixels:
        """See ``PhotoNet``; any size."""
        try:
            with self._on_device():
                picture = torch.from_numpy(noisy).to(self._device).permute(2, 0, 1)[None]
                left = picture - self._net.noise(picture.to(self._dtype)).float()
                clean: Pixels = left[0].permute(1, 2, 0).cpu().numpy()
        except torch.cuda.OutOfMemoryError as exc:
            raise OutOfDeviceMemory(f"torch on {self._device}: {str(exc).partition(chr(10))[0]}") from exc
        except RuntimeError as exc:
            raise KernelError(f"torch failed on {self._device}: {str(exc).partition(chr(10))[0]}") from exc
        return np.ascontiguousarray(clean)

    def _on_device(self) -> AbstractContextManager[object]:
        return nullcontext()

    def _prepare(self, rows: int, columns: int) -> ReadyPhotoNet:
        raise NotImplementedError  # nothing is made ready


class CudaPhotoNet(TorchPhotoNet):
    """torch in float16 on an NVIDIA GPU, our kernel for the slices.

    Args:
        model: name of the network.
        adapter: of the CUDA driver, "auto", "cuda-bindings" or "pycuda".
        device: the driver's number of the GPU.

    Raises:
        BackendUnavailable: no GPU, no driver, or a torch without CUDA.
    """

    _name, _precision, _dtype = "cuda", "fp16", torch.float16

    def __init__(self, model: str, *, adapter: str = "auto", device: int = 0) -> None:
        if not torch.cuda.is_available():
            raise BackendUnavailable(
                f"backend 'cuda' needs a torch with CUDA and a GPU; torch {torch.__version__} finds none here"
            )
        self._driver: Driver = open_driver(adapter, device)
        try:
            super().__init__(model, device=f"cuda:{self._driver.device.index}")
            self._kernels = Kernels(self._driver)
            self._stream = torch.cuda.Stream(self._device)  # our kernels refuse the default one
        except BaseException:
            self._driver.close()
            raise

    def close(self) -> None:
        """See ``PhotoNet``."""
        super().close()
        self._driver.close()

    def _on_device(self) -> AbstractContextManager[object]:
        entered = ExitStack()
        entered.enter_context(torch.cuda.stream(self._stream))
        entered.enter_context(sliced_by(self._kernels))
        return entered
