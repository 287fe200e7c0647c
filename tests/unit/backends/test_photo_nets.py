import numpy as np
import pytest

from malle_rt.backends.openvino_photo import OpenVinoPhotoNet
from malle_rt.backends.photo import PhotoNet, trial_picture
from malle_rt.backends.select import select_photo_net
from malle_rt.config import DenoiseConfig
from malle_rt.errors import BackendUnavailable, ConfigError
from malle_rt.photo.denoiser import denoise_array


def opened(**options):
    return select_photo_net(DenoiseConfig(model="mallenet-s", **options))


@pytest.mark.slow
def test_torch_computes_what_openvino_does():
    pytest.importorskip("torch")
    noisy = trial_picture(64, 128)
    ours, other = opened(backend="torch"), opened(threads=1)
    assert str(ours.info).startswith("torch mallenet-s fp32") and other.info.name == "openvino"
    assert np.abs(ours.run(noisy) - other.run(noisy)).max() < 2e-3
    picture = np.rint(noisy * 255).astype(np.uint8)
    assert np.abs(denoise_array(picture, 20, "mallenet-s", backend="torch").astype(int) - picture).max() > 5
    ours.close()
    other.close()


@pytest.mark.parametrize("precision", ["int8", "fp16"])
def test_a_precision_that_a_backend_has_not_is_said(precision):
    with pytest.raises(ConfigError, match=rf"got openvino in {precision}"):
        opened(backend="openvino", precision=precision)
    with pytest.raises(ConfigError, match="got none in auto"):
        opened(backend="none")


@pytest.mark.parametrize("backend", ["cuda", "tensorrt-rtx"])
def test_without_a_gpu_it_is_said(backend):
    pytest.importorskip("torch" if backend == "cuda" else "tensorrt_rtx")
    with pytest.raises(BackendUnavailable):
        opened(backend=backend)


class Counted(PhotoNet):
    """Notes which sizes are ready."""

    def __init__(self):
        super().__init__()
        self.made, self.closed = [], []

    def _prepare(self, rows, columns):
        self.made.append((rows, columns))
        return Ready(self, (rows, columns))


class Ready:
    def __init__(self, net, size):
        self.net, self.size = net, size

    def run(self, noisy):
        return noisy

    def close(self):
        self.net.closed.append(self.size)


def test_two_sizes_stay_ready_and_all_are_released():
    net = Counted()
    for rows in (64, 128, 64, 192, 64):
        net.run(np.zeros((rows, 64, 3), np.float32))
    assert net.made == [(64, 64), (128, 64), (192, 64)] and net.closed == [(128, 64)]
    net.close()
    net.close()
    assert sorted(net.closed) == [(64, 64), (128, 64), (192, 64)]


def test_the_trial_picture_is_cleaned():
    noisy = trial_picture(64, 64)
    assert noisy.dtype == np.float32 and noisy.min() >= 0 and noisy.max() <= 1
    assert np.abs(OpenVinoPhotoNet("mallenet-s", threads=1).run(noisy) - noisy).mean() > 0.02
