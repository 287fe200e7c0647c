"""Eager torch: the yardstick. Slow on a CPU, exact everywhere."""

from __future__ import annotations

import time

import numpy as np

from malle_rt.backends.base import BackendInfo, BlockingSession, FrameShape, Planes420, Session, pad_edge
from malle_rt.contract import MULTIPLE, Noise
from malle_rt.errors import BackendUnavailable, KernelError
from malle_rt.models import checksum, model_file

try:
    import torch

    from malle_rt.net import rt, rt2
    from malle_rt.net.weights import load_video_net
    from malle_rt.ops.motion import align
except ImportError as exc:
    raise BackendUnavailable(
        f"backend 'torch' needs torch and safetensors ({exc}): pip install 'malle-rt[torch]'"
    ) from exc

__all__ = ["TorchBackend"]


class TorchBackend:
    """Run the network as torch defines it, in float32, on the GPU where torch has one.

    Networks of the second generation have their past aligned, as torch defines it, too.
    """

    def __init__(self, model: str, *, device: str | None = None) -> None:
        path = model_file(model, ".safetensors")
        self._device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self._net = load_video_net(path).to(self._device)
        where = str(self._device)
        if self._device.type == "cpu":
            where = f"CPU ({torch.get_num_threads()} threads)"
        told = "noise" if isinstance(self._net, rt2.MalleNetRT) else "sigma"
        self._info = BackendInfo("torch", model, "fp32", where, checksum(path), told=told)

    @property
    def info(self) -> BackendInfo:
        """What is running."""
        return self._info

    def prepare(self, shape: FrameShape) -> Session:
        """Nothing to compile."""
        return _TorchSession(self._net, shape, self._device)

    def close(self) -> None:
        """Nothing is held outside the sessions."""


class _TorchSession(BlockingSession):
    def __init__(self, net: rt.MalleNetRT | rt2.MalleNetRT, shape: FrameShape, device: torch.device) -> None:
        self._net, self._shape, self._device = net, shape, device
        rows, columns = shape.padded(MULTIPLE)
        dtype = np.uint8 if shape.bits == 8 else np.uint16
        self._luma = np.zeros((1, 1, rows, columns), dtype)
        self._chroma = np.zeros((1, 2, rows // 2, columns // 2), dtype)

    @torch.inference_mode()
    @torch.backends.cudnn.flags(enabled=True, allow_tf32=False)  # a yardstick does not round to 10 bits
    def run(self, planes: Planes420, noise: Noise, state: object | None) -> tuple[Planes420, object]:
        """See ``Session``."""
        pad_edge(planes[0], self._luma[0, 0])
        pad_edge(planes[1], self._chroma[0, 0])
        pad_edge(planes[2], self._chroma[0, 1])
        y, uv = (self._floats(codes) for codes in (self._luma, self._chroma))
        if state is None:
            state = self._net.first_state(y, uv)
        if not isinstance(state, (rt.RTState, rt2.RTState)):
            raise KernelError("the state belongs to another backend; start the video again with state=None")
        begin = time.perf_counter()
        after = self._step(y, uv, noise, state)
        if self._device.type == "cpu":  # a GPU goes on working after the call has returned
            self.network_span = begin, time.perf_counter()
        clean_y, clean_uv = (self._codes(values) for values in (after.y, after.uv))
        rows, columns = planes[1].shape
        return (
            clean_y[0, 0, : self._shape.height, : self._shape.width].copy(),
            clean_uv[0, 0, :rows, :columns].copy(),
            clean_uv[0, 1, :rows, :columns].copy(),
        ), after

    def _step(
        self, y: torch.Tensor, uv: torch.Tensor, noise: Noise, state: rt.RTState | rt2.RTState
    ) -> rt.RTState | rt2.RTState:
        if isinstance(self._net, rt2.MalleNetRT):
            told = torch.tensor(noise.scaled(), device=self._device).view(1, -1, 1, 1)
            return rt2.RTState(*self._net(y, uv, told, rt2.RTState(*align(y, *state))))
        level = torch.full((1, 1, 1, 1), noise.sigma / 255, device=self._device)
        return rt.RTState(*self._net(y, uv, level, rt.RTState(*state)))

    def _floats(self, codes: np.ndarray) -> torch.Tensor:
        # torch has no uint16 arithmetic on every device: floats are made here.
        return torch.from_numpy(codes.astype(np.float32) / np.float32(self._shape.largest)).to(self._device)

    def _codes(self, values: torch.Tensor) -> np.ndarray:
        return values.mul(self._shape.largest).round().cpu().numpy().astype(self._luma.dtype)
