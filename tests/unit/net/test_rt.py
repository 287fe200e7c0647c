import pytest
import torch

from malle_rt.net.rt import PRESETS, MalleNetRT, RTConfig, RTState, macs_per_pixel

TINY = RTConfig(widths=(8, 8, 8), tail=8, hidden=3)


def planes(n=2, height=32, width=48):
    return torch.rand(n, 1, height, width), torch.rand(n, 2, height // 2, width // 2)


def test_a_fresh_network_returns_its_input():
    torch.manual_seed(0)
    net = MalleNetRT(TINY)
    for head in net.heads.values():
        torch.nn.init.zeros_(head.weight)
    y, uv = planes()
    clean_y, clean_uv, hidden = net(y, uv, torch.zeros(2, 1, 1, 1), net.first_state(y))
    torch.testing.assert_close(clean_y, y)
    torch.testing.assert_close(clean_uv, uv)
    assert hidden.shape == (2, 3, 16, 24)


def test_sigma_state_and_every_parameter_take_part():
    torch.manual_seed(0)
    net = MalleNetRT(TINY)
    y, uv = planes()
    sigma = torch.full((2, 1, 1, 1), 0.1)
    first = RTState(*net(y, uv, sigma, net.first_state(y)))
    second = RTState(*net(y, uv, sigma, first))
    assert not torch.equal(first.y, second.y)
    assert not torch.equal(first.y, net(y, uv, 2 * sigma, net.first_state(y))[0])
    sum(value.square().mean() for value in second).backward()
    unused = [name for name, value in net.named_parameters() if value.grad is None or not value.grad.any()]
    assert not unused


def test_every_learned_value_is_in_the_state_dict():
    net = MalleNetRT(TINY)
    assert set(net.state_dict()) == {name for name, _ in net.named_parameters()}
    kinds = {name.split(".")[0] for name in net.state_dict()}
    assert kinds == {
        "stem", "to_quarter", "quarter", "to_eighth", "eighth", "from_eighth", "merge_quarter", "malle",
        "from_quarter", "merge_half", "tail", "heads",
    }  # fmt: skip


@pytest.mark.parametrize(("name", "low", "high"), [("rt-s", 5, 10), ("rt-m", 25, 40), ("rt-l", 80, 130)])
def test_presets_cost_what_they_promise(name, low, high):
    assert low <= macs_per_pixel(MalleNetRT(PRESETS[name])) / 1000 <= high


def test_macs_agree_with_a_count_by_hooks():
    net = MalleNetRT(TINY)
    y, uv = planes(1)
    counted = 0

    def count(module, inputs, output):
        nonlocal counted
        positions = inputs[0] if isinstance(module, torch.nn.ConvTranspose2d) else output
        counted += module.weight.numel() * positions.shape[2] * positions.shape[3]

    for module in net.modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.ConvTranspose2d)):
            module.register_forward_hook(count)
    net(y, uv, torch.zeros(1, 1, 1, 1), net.first_state(y))
    sliced = 2 * 26 * 2 + 2 * 10 * 2 / 4 + 8 * 10 * 2 / 4
    assert macs_per_pixel(net) == pytest.approx(counted / y.numel() + sliced)
