"""A picture through a network on the device: up, through, and down again."""

from __future__ import annotations

from contextlib import ExitStack, closing

import numpy as np

from malle_rt.backends.gpu.network import DeviceNetwork
from malle_rt.backends.photo import Pixels
from malle_rt.cuda.driver import Driver

__all__ = ["DevicePhotoNet"]


class DevicePhotoNet:
    """A ``ReadyPhotoNet``: a network on the device and its memory, for one size.

    Args:
        driver: of the device, its context current.
        network: ready for the size; tensors "noisy" and "clean", (1, 3, rows, columns). It is closed with this.
        rows, columns: of the pictures.

    Raises:
        OutOfDeviceMemory: there is none left for the two pictures.
    """

    def __init__(self, driver: Driver, network: DeviceNetwork, rows: int, columns: int) -> None:
        self._driver, self._network = driver, network
        dtype = np.float16 if network.storage == "f16" else np.float32
        with ExitStack() as undo:
            undo.callback(network.close)
            self._stream = undo.enter_context(closing(driver.stream()))
            self._host = undo.enter_context(closing(driver.pinned((1, 3, rows, columns), dtype)))
            size = self._host.array.nbytes
            self._noisy, self._clean = (undo.enter_context(closing(driver.allocate(size))) for _ in range(2))
            self._undo = undo.pop_all()

    def run(self, noisy: Pixels) -> Pixels:
        """See ``PhotoNet``."""
        self._driver.make_current()  # this may be any thread
        host = self._host.array
        host[0] = noisy.transpose(2, 0, 1)
        self._driver.upload(self._noisy.pointer, host, self._stream)
        tensors = {"noisy": self._noisy.pointer, "clean": self._clean.pointer}
        self._network.enqueue(tensors, self._stream.handle)
        self._driver.download(host, self._clean.pointer, self._stream)
        self._stream.synchronize()
        return np.ascontiguousarray(host[0].transpose(1, 2, 0), dtype=np.float32)

    def close(self) -> None:
        """Release memory and network. May be called twice."""
        self._driver.make_current()
        self._undo.close()
