import numpy as np
import pytest

from malle_rt.backends.openvino import OpenVinoBackend
from malle_rt.backends.openvino_photo import OpenVinoPhotoNet
from malle_rt.contract import PHOTO_MULTIPLE
from malle_rt.errors import ConfigError
from malle_rt.models import model_file, model_names, photo_model_names


def picture(rows, columns, seed=0):
    """Broad waves with noise, (rows, columns, 3) in [0, 1]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:rows, :columns]
    waves = np.stack([np.sin(x / 17 + k) * np.cos(y / 23) for k in range(3)], -1)
    return np.clip(0.5 + 0.3 * waves + rng.normal(0, 0.08, waves.shape), 0, 1).astype(np.float32)


def test_networks_for_photographs_are_listed_apart():
    assert {"mallenet-s", "mallenet-m"} <= set(photo_model_names())
    assert not set(photo_model_names()) & set(model_names())


@pytest.mark.slow
@pytest.mark.parametrize("model", photo_model_names())
def test_the_graph_gives_what_torch_gives(model):
    torch = pytest.importorskip("torch")
    from malle_rt.net.mallenet import MalleNet
    from malle_rt.net.weights import load_stills_net

    assert MalleNet.multiple == PHOTO_MULTIPLE
    net = load_stills_net(model_file(model, ".safetensors"))
    graph = OpenVinoPhotoNet(model, threads=1)
    for size in ((128, 192), (64, 64), (192, 128), (128, 192)):
        noisy = picture(*size)
        with torch.inference_mode():
            wanted = net(torch.from_numpy(noisy).permute(2, 0, 1)[None])[0].permute(1, 2, 0).numpy()
        # Sums in another order; a hundredth of an 8-bit step.
        np.testing.assert_allclose(graph.run(noisy), wanted, rtol=0, atol=4e-5)
    graph.close()
    graph.close()


def test_noise_goes_away():
    rng = np.random.default_rng(1)
    flat = np.full((128, 128, 3), 0.5, np.float32)
    noisy = np.clip(flat + rng.normal(0, 25 / 255, flat.shape), 0, 1).astype(np.float32)
    clean = OpenVinoPhotoNet("mallenet-s", threads=1).run(noisy)
    assert np.abs(clean - flat).mean() < np.abs(noisy - flat).mean() / 8


def test_an_unknown_one_is_named():
    with pytest.raises(
        ConfigError, match="no model 'rt-s' for photographs; there are: mallenet-m, mallenet-s"
    ):
        OpenVinoPhotoNet("rt-s")
    with pytest.raises(
        ConfigError, match="model mallenet-m is for photographs, and runs in 'malle-rt photo'"
    ):
        OpenVinoBackend("mallenet-m")
