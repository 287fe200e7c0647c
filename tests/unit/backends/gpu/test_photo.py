"""A picture on its way to the device and back, past a network that is told only where it lies."""

import numpy as np
import pytest

from malle_rt.backends.gpu.photo import DevicePhotoNet
from malle_rt.errors import KernelError


class Inverting:
    """A network that copies, and whose result shows that it ran."""

    hidden, told = 0, "sigma"

    def __init__(self, driver, storage, error=None):
        self.storage, self.closed = storage, 0
        self._driver, self._error = driver, error
        self.stream = None

    def enqueue(self, tensors, stream):
        if self._error:
            raise self._error
        assert stream == self.stream.handle
        size = 3 * 64 * 128 * (2 if self.storage == "f16" else 4)
        self._driver.copy(tensors["clean"], tensors["noisy"], size, self.stream)
        self._driver.clear(tensors["noisy"], size, self.stream)

    def close(self):
        self.closed += 1


@pytest.mark.parametrize(("storage", "error"), [("f16", 1e-3), ("f32", 0)])
def test_a_picture_comes_back_as_the_network_left_it(driver, fake, storage, error):
    driver.make_current()
    before = fake.live()
    network = Inverting(driver, storage)
    ready = DevicePhotoNet(driver, network, 64, 128)
    network.stream = ready._stream
    random = np.random.default_rng(0)
    for _ in range(2):
        noisy = random.random((64, 128, 3), np.float32)
        clean = ready.run(noisy)
        assert clean.shape == noisy.shape and clean.dtype == np.float32
        assert np.abs(clean - noisy).max() <= error
    ready.close()
    ready.close()
    assert network.closed == 1 and fake.live() == before


def test_memory_and_network_are_given_back_where_the_device_has_no_room(driver, fake):
    driver.make_current()
    before = fake.live()
    network = Inverting(driver, "f32")
    fake.fail("cuMemAlloc", 2, nth=2)
    with pytest.raises(KernelError):
        DevicePhotoNet(driver, network, 64, 128)
    assert network.closed == 1 and fake.live() == before
