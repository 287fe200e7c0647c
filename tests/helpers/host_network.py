"""MalleNet-RT on a device whose memory is the host's: torch on the CPU, in stream order, behind ``DeviceNetwork``."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping

import numpy as np
import torch

from malle_rt.contract import TOLD
from malle_rt.net import rt, rt2

_DTYPE = {"f16": np.float16, "f32": np.float32}
_HOST_FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class HostNetwork:
    """Runs as a host function of the stream, so it sees only what the streams' order lets it see."""

    def __init__(
        self, net: rt.MalleNetRT | rt2.MalleNetRT, rows: int, columns: int, storage: str, libcuda: ctypes.CDLL
    ) -> None:
        self.storage = storage
        self.hidden = net.config.hidden
        self.told = "noise" if isinstance(net, rt2.MalleNetRT) else "sigma"
        self.closed = False
        self._net = net
        self._libcuda = libcuda
        half = (rows // 2, columns // 2)
        self._shapes = {
            "y": (1, 1, rows, columns),
            "uv": (1, 2, *half),
            "hidden": (1, net.config.hidden, *half),
        }
        self._functions = []  # the driver calls them later: they must not be collected

    def enqueue(self, tensors: Mapping[str, int], stream: int) -> None:
        addresses = dict(tensors)
        function = _HOST_FUNCTION(lambda _: self._run(addresses))
        self._functions.append(function)
        assert self._libcuda.cuLaunchHostFunc(ctypes.c_void_p(stream), function, None) == 0

    def close(self) -> None:
        self.closed = True

    @torch.inference_mode()
    def _run(self, addresses: Mapping[str, int]) -> None:
        y, uv = (self._read(addresses[name], self._shapes[name]) for name in ("y", "uv"))
        told = self._read(addresses[self.told], (1, TOLD[self.told], 1, 1))
        before = (self._read(addresses[f"{name}_before"], shape) for name, shape in self._shapes.items())
        state = rt2.RTState if self.told == "noise" else rt.RTState
        results = self._net(y, uv, told, state(*before))
        for name, value in zip(("y_clean", "uv_clean", "hidden"), results, strict=True):
            self._view(addresses[name], value.shape)[...] = value.numpy()

    def _read(self, address: int, shape: tuple[int, ...]) -> torch.Tensor:
        return torch.from_numpy(self._view(address, shape).astype(np.float32))

    def _view(self, address: int, shape: tuple[int, ...]) -> np.ndarray:
        dtype = np.dtype(_DTYPE[self.storage])
        count = int(np.prod(shape))
        memory = (ctypes.c_char * (count * dtype.itemsize)).from_address(address)
        return np.frombuffer(memory, dtype, count).reshape(shape)
