"""A backend whose GPU is the host implementation of the driver: everything is real but the GPU and TensorRT."""

from __future__ import annotations

import functools

from helpers.host_network import HostNetwork

from malle_rt.backends.base import BackendInfo, FrameShape
from malle_rt.backends.gpu.session import GpuSession
from malle_rt.cuda.kernels import Kernels
from malle_rt.cuda.launches import padded_size
from malle_rt.cuda.opening import open_driver
from malle_rt.models import model_file
from malle_rt.net.weights import load_rt

__all__ = ["HostBackend"]


class HostBackend:
    """Runs rt-s in float32.

    Args:
        fake: the driver's controls.

    Attributes:
        driver: the backend's own.
        decoder: CUDA stream in which surfaces are made; set before the first frame.
    """

    def __init__(self, fake) -> None:
        self._library = fake.library
        self.driver = open_driver("cuda-bindings")
        self.decoder = None
        self.info = BackendInfo("host", "rt-s", "fp32", "the host", "", gpu=0)

    def prepare(self, shape: FrameShape) -> GpuSession:
        """A session without CUDA graphs."""
        self.driver.make_current()
        net = HostNetwork(_network(), *padded_size(shape.width, shape.height), "f32", self._library)
        more = {} if self.decoder is None else {"decoder": self.decoder}
        return GpuSession(self.driver, Kernels(self.driver), net, shape, **more)

    def close(self) -> None:
        """Close the driver."""
        self.driver.close()


@functools.cache
def _network():
    return load_rt(model_file("rt-s", ".safetensors"))
