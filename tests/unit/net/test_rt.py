from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from malle_rt.net.cost import rt_kmac_per_pixel
from malle_rt.net.rt import PRESETS, KernelPair, MalleNetRT, RTConfig, RTState

TINY = RTConfig(widths=(8, 8, 8), tail=8, hidden=3)


def planes(n=2, height=32, width=48):
    return torch.rand(n, 1, height, width), torch.rand(n, 2, height // 2, width // 2)


def test_a_fresh_network_returns_its_input():
    torch.manual_seed(0)
    net = MalleNetRT(TINY)
    for head in (net.luma.now, net.luma.before, net.chroma.now, net.chroma.before, net.direct):
        torch.nn.init.zeros_(head.weight)
    y, uv = planes()
    clean_y, clean_uv, hidden = net(y, uv, torch.zeros(2, 1, 1, 1), net.first_state(y, uv))
    torch.testing.assert_close(clean_y, y)
    torch.testing.assert_close(clean_uv, uv)
    assert hidden.shape == (2, 3, 16, 24)


@pytest.mark.slow
def test_sigma_state_and_every_parameter_take_part():
    torch.manual_seed(0)
    net = MalleNetRT(TINY)
    y, uv = planes()
    sigma = torch.full((2, 1, 1, 1), 0.1)
    first = RTState(*net(y, uv, sigma, net.first_state(y, uv)))
    second = RTState(*net(y, uv, sigma, first))
    assert not torch.equal(first.y, second.y)
    assert not torch.equal(first.y, net(y, uv, 2 * sigma, net.first_state(y, uv))[0])
    sum(value.square().mean() for value in second).backward()
    unused = [name for name, value in net.named_parameters() if value.grad is None or not value.grad.any()]
    assert not unused


def test_every_learned_value_is_in_the_state_dict():
    net = MalleNetRT(TINY)
    assert set(net.state_dict()) == {name for name, _ in net.named_parameters()}
    kinds = {name.split(".")[0] for name in net.state_dict()}
    assert kinds == {
        "stem", "to_quarter", "quarter", "to_eighth", "eighth", "from_eighth", "merge_quarter", "malle",
        "from_quarter", "merge_half", "tail", "luma", "chroma", "direct", "hidden",
    }  # fmt: skip


def test_kernels_on_a_coarser_grid_and_without_a_direct_term():
    torch.manual_seed(0)
    net = MalleNetRT(RTConfig(widths=(8, 8, 8), tail=8, hidden=3, grid=4, direct=False))
    assert not [name for name in net.state_dict() if name.startswith("direct")]
    for head in (net.luma.now, net.luma.before, net.chroma.now, net.chroma.before):
        torch.nn.init.zeros_(head.weight)
    shapes = []
    net.luma.register_forward_hook(lambda _module, _inputs, grids: shapes.extend(g.shape for g in grids))
    y, uv = planes()
    clean_y, clean_uv, _ = net(y, uv, torch.zeros(2, 1, 1, 1), net.first_state(y, uv))
    torch.testing.assert_close(clean_y, y)
    torch.testing.assert_close(clean_uv, uv)
    assert shapes == [(2, 26, 8, 12), (2, 26, 8, 12)]


@pytest.mark.parametrize(("name", "low", "high"), [("rt-s", 5, 10), ("rt-m", 25, 40), ("rt-l", 80, 130)])
def test_presets_cost_what_they_promise(name, low, high):
    assert low <= rt_kmac_per_pixel(MalleNetRT(PRESETS[name])) <= high


def test_kernels_add_up_to_one_whatever_the_weights():
    torch.manual_seed(0)
    pair = KernelPair(6, 3)
    for layer in (pair.now, pair.before):
        torch.nn.init.normal_(layer.weight)
        torch.nn.init.normal_(layer.bias)
    now, before = pair(torch.randn(2, 6, 4, 5))
    total = now[:, :-1].sum(1) + before[:, :-1].sum(1)
    torch.testing.assert_close(total, torch.ones(2, 4, 5), rtol=0, atol=1e-5)


def test_a_fresh_trunk_keeps_its_signal_alive():
    torch.manual_seed(0)
    net = MalleNetRT(PRESETS["rt-s"])
    spreads = []
    net.tail[0].register_forward_hook(
        lambda _module, _inputs, out: spreads.append(float(out.std((2, 3)).mean()))
    )
    y, uv = planes(1, 64, 64)
    net(y, uv, torch.full((1, 1, 1, 1), 0.05), net.first_state(y, uv))
    assert spreads[0] > 0.1


@pytest.mark.parametrize("changes", [{}, {"grid": 4}, {"direct": False}])
def test_macs_agree_with_a_count_by_hooks(changes):
    net = MalleNetRT(replace(TINY, **changes))
    y, uv = planes(1)
    with FlopCounterMode(display=False) as counter:
        net(y, uv, torch.zeros(1, 1, 1, 1), net.first_state(y, uv))
    counted = counter.get_total_flops() / 2
    sliced = 2 * 26 * 2 + 2 * 10 * 3 / 4 + 8 * 10 * 2 / 4  # U and V share a kernel and its interpolation
    assert rt_kmac_per_pixel(net) * 1e3 == pytest.approx(counted / y.numel() + sliced)


def test_trains_under_autocast():
    torch.manual_seed(0)
    net = MalleNetRT(TINY)
    y, uv = planes()
    with torch.autocast("cpu", torch.bfloat16):
        state = RTState(*net(y, uv, torch.full((2, 1, 1, 1), 0.1), net.first_state(y, uv)))
    assert state.y.dtype == torch.float32
    sum(value.float().square().mean() for value in state).backward()
    assert all(value.grad is not None and value.grad.isfinite().all() for value in net.parameters())


def test_a_folded_network_computes_the_same_and_leaves_the_original_alone():
    torch.manual_seed(0)
    net = MalleNetRT(PRESETS["rt-s"]).eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    y, uv, sigma = torch.rand(1, 1, 32, 48), torch.rand(1, 2, 16, 24), torch.full((1, 1, 1, 1), 0.1)
    state = net.first_state(y, uv)
    folded = net.folded()
    for ours, theirs in zip(folded(y, uv, sigma, state), net(y, uv, sigma, state), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    taps = torch.cat([layer.weight[:-1] for layer in (folded.luma.now, folded.luma.before)])
    assert taps.sum(0).abs().max() < 1e-4


def test_nothing_learned_can_shift_the_brightness_of_a_flat_area():
    torch.manual_seed(0)
    net = MalleNetRT(TINY)
    for head in (net.luma.now, net.luma.before, net.chroma.now, net.chroma.before, net.direct):
        torch.nn.init.normal_(head.weight, std=0.02)
        torch.nn.init.normal_(head.bias, std=0.02)
    tail, y, uv = torch.randn(1, 8, 16, 24), torch.full((1, 1, 32, 48), 0.4), torch.full((1, 2, 16, 24), 0.6)
    clean_y, clean_uv = net.sliced(tail, y, uv, net.first_state(y, uv))
    inside = (..., slice(2, -2), slice(2, -2))  # beyond the picture's edge the slices read zeros
    torch.testing.assert_close(clean_y[inside], y[inside])
    torch.testing.assert_close(clean_uv[inside], uv[inside])
    painted = torch.nn.functional.avg_pool2d(net.direct(tail), 2)
    assert net.direct(tail).abs().max() > 1e-3 > 1e-6 > painted.abs().max()
