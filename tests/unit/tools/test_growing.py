from dataclasses import replace

import pytest
import torch
from training import grow

from malle_rt.net.mallenet import MalleNet, MalleNetConfig
from malle_rt.net.rt import MalleNetRT, RTConfig

SMALL = RTConfig(widths=(4, 8, 12), depths=(2, 2, 1), tail=8, hidden=2)
WIDE = replace(SMALL, widths=(8, 12, 16), tail=12, hidden=5)


def net(config, seed):
    """A network whose heads say something, as after training."""
    torch.manual_seed(seed)
    made = MalleNetRT(config).eval()
    with torch.no_grad():
        heads = [made.luma.now, made.luma.before, made.chroma.now, made.hidden]
        for head in [*heads, made.direct] if made.direct else heads:
            head.weight.normal_(std=0.05)
    return made


@torch.no_grad()
def run(network, frames=3):
    """Its outputs on a few frames, with the state that goes with them."""
    torch.manual_seed(5)
    state, outputs = None, []
    for _ in range(frames):
        y, uv, sigma = torch.rand(1, 1, 32, 48), torch.rand(1, 2, 16, 24), torch.full((1, 1, 1, 1), 0.1)
        state = type(state)(*network(y, uv, sigma, state)) if state else network.first_state(y, uv)
        outputs.append(state.y)
    return torch.stack(outputs)


@pytest.mark.slow
def test_a_wider_network_begins_as_the_small_one():
    small, large = net(SMALL, 0), net(WIDE, 1)
    before = (run(large) - run(small)).abs().max()
    grow(large, small)
    assert (run(large) - run(small)).abs().max() < 1e-5 < before


@pytest.mark.slow
def test_an_output_that_the_small_one_lacks_begins_silent():
    small, large = net(replace(SMALL, direct=False), 0), net(WIDE, 1)
    grow(large, small)
    assert (run(large) - run(small)).abs().max() < 1e-5


def test_the_new_channels_can_learn():
    small, large = net(SMALL, 0), net(WIDE, 1)
    grow(large, small)
    y, uv, sigma = torch.rand(1, 1, 32, 48), torch.rand(1, 2, 16, 24), torch.full((1, 1, 1, 1), 0.1)
    clean, _, _ = large(y, uv, sigma, large.first_state(y, uv))
    clean.square().mean().backward()
    assert large.tail[0].weight.grad[:, SMALL.widths[0] :].abs().max() > 0


@pytest.mark.slow
def test_a_deeper_network_begins_close_to_the_small_one():
    small, large = net(SMALL, 0), net(replace(WIDE, depths=(2, 3, 2)), 1)
    before = (run(large) - run(small)).square().mean()
    grow(large, small)
    assert (run(large) - run(small)).square().mean() < 0.1 * before


@pytest.mark.slow
@pytest.mark.parametrize("blocks", [2, 4])
def test_a_stills_network_begins_as_the_small_one_however_many_blocks_it_has_more(blocks):
    torch.manual_seed(0)
    small = MalleNet(MalleNetConfig(widths=(4, 6, 8, 10), blocks=2)).eval()
    large = MalleNet(MalleNetConfig(widths=(6, 8, 8, 12), blocks=blocks)).eval()
    picture = torch.rand(1, 3, 64, 128)
    before = (large(picture) - small(picture)).abs().max()
    grow(large, small)
    after = large(picture) - small(picture)
    assert after.abs().max() < 1e-5 < before
    large(picture).square().mean().backward()
    last = large.levels[0].before[-1].body[-1]
    assert last.weight.grad.abs().max() > 0, "the new blocks must be able to learn"


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="does not fit"):
        grow(net(SMALL, 0), net(WIDE, 1))
    with pytest.raises(ValueError, match="layers of its own"):
        grow(net(WIDE, 0), net(replace(SMALL, depths=(2, 3, 1)), 1))
