import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from malle_rt.net.cost import rt_kmac_per_pixel
from malle_rt.net.rt2 import PRESETS, FoldedRT, MalleNetRT, RTConfig, RTState
from malle_rt.net.weights import load_rt2, save_network

TINY = RTConfig(widths=(8, 8, 8), tail=8, hidden=3)


def planes(n=2, height=32, width=48):
    return torch.rand(n, 1, height, width), torch.rand(n, 2, height // 2, width // 2)


def noise(n=2, dark=0.1, bright=0.1, chroma=0.1, coarse=0.3):
    return torch.tensor([dark, bright, chroma, coarse]).view(1, 4, 1, 1).expand(n, -1, -1, -1)


def pairs(net):
    return [pair for bands in (net.luma, net.chroma) for pair in (bands.fine, bands.low)]


def test_a_fresh_network_returns_its_input():
    torch.manual_seed(0)
    net = MalleNetRT(TINY)
    for pair in pairs(net):
        torch.nn.init.zeros_(pair.now.weight)
        torch.nn.init.zeros_(pair.before.weight)
    y, uv = planes()
    clean_y, clean_uv, hidden = net(y, uv, noise(), net.first_state(y, uv))
    torch.testing.assert_close(clean_y, y)
    torch.testing.assert_close(clean_uv, uv)
    assert hidden.shape == (2, 3, 16, 24)


@pytest.mark.slow
def test_noise_state_and_every_parameter_take_part():
    torch.manual_seed(0)
    net = MalleNetRT(TINY)
    y, uv = planes()
    first = RTState(*net(y, uv, noise(), net.first_state(y, uv)))
    second = RTState(*net(y, uv, noise(), first))
    assert not torch.equal(first.y, second.y)
    for told in (noise(dark=0.2), noise(bright=0.2), noise(chroma=0.2), noise(coarse=0.9)):
        assert not torch.equal(first.y, net(y, uv, told, net.first_state(y, uv))[0])
    sum(value.square().mean() for value in second).backward()
    unused = [name for name, value in net.named_parameters() if value.grad is None or not value.grad.any()]
    assert not unused


@pytest.mark.slow
@pytest.mark.parametrize("preset", sorted(PRESETS))
@pytest.mark.parametrize("level", [0.0, 16 / 255, 90 / 255, 1.0])
@pytest.mark.parametrize("told", [0.0, 6 / 255, 75 / 255])
def test_flat_pictures_keep_their_level_whatever_is_told(preset, level, told):
    torch.manual_seed(0)
    net = MalleNetRT(PRESETS[preset]).eval()
    for pair in pairs(net):  # kernels as wild as no training makes them
        torch.nn.init.normal_(pair.now.weight, std=0.1)
        torch.nn.init.normal_(pair.before.weight, std=0.1)
    y, uv = torch.full((1, 1, 32, 32), level), torch.full((1, 2, 16, 16), 0.4)
    state = net.first_state(y, uv)
    with torch.inference_mode():
        for _ in range(3):
            state = RTState(*net(y, uv, noise(1, told, told, told), state))
    torch.testing.assert_close(state.y, y, atol=5e-4, rtol=0)
    torch.testing.assert_close(state.uv, uv, atol=5e-4, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("fused", [False, True])
def test_folding_changes_nothing(fused):
    torch.manual_seed(0)
    net = MalleNetRT(PRESETS["rt-s"]).eval()
    y, uv = planes()
    state = RTState(*net(y, uv, noise(), net.first_state(y, uv)))
    for plain, folded in zip(
        net(y, uv, noise(), state), FoldedRT(net, fused=fused)(y, uv, noise(), *state), strict=True
    ):
        torch.testing.assert_close(folded, plain, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_multiply_adds_are_counted(preset):
    net = MalleNetRT(PRESETS[preset])
    y, uv = planes(1, 64, 64)
    with FlopCounterMode(display=False) as counter:
        net(y, uv, noise(1), net.first_state(y, uv))
    counted = counter.get_total_flops() / 2 / 64**2
    slices = 2 * 2 * 25 + 2 * 2 * 2 * 9 / 4 + 3 * 2 * 25 / 16
    assert rt_kmac_per_pixel(net) * 1e3 == pytest.approx(counted + slices, rel=0.02)


def test_weights_come_back(tmp_path):
    net = MalleNetRT(TINY)
    save_network(net, tmp_path / "net.safetensors")
    again = load_rt2(tmp_path / "net.safetensors")
    assert again.config == TINY
    for name, value in again.state_dict().items():
        assert torch.equal(value, net.state_dict()[name])


@pytest.mark.parametrize("preset", PRESETS)
def test_every_layer_has_channels_that_tensor_cores_take_without_padding(preset):
    """Multiples of 8, the first layer's inputs, too: 24 and 32, where the first generation has 21, 29 and 45."""
    net = MalleNetRT(PRESETS[preset])
    layers = [each for each in net.modules() if isinstance(each, (nn.Conv2d, nn.ConvTranspose2d))]
    assert not [each for each in layers if each.in_channels % 8]
