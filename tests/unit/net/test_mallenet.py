import pytest
import torch

from malle_rt.net.mallenet import LEVELS, STILLS_PRESETS, MalleNet, MalleNetConfig

TINY = MalleNetConfig(widths=(4, 6, 8, 10), blocks=2)


@pytest.mark.parametrize("size", [(64, 64), (1, 1), (65, 97)])
def test_any_size_comes_back_at_its_size(size):
    x = torch.rand(1, 3, *size)
    assert MalleNet(TINY)(x).shape == x.shape


@pytest.mark.slow
def test_a_malleconv_in_each_level_and_all_of_it_trains():
    torch.manual_seed(0)
    net = MalleNet(TINY)
    assert len([name for name in net.state_dict() if name.endswith("malle.predictor.0.weight")]) == LEVELS
    assert set(net.state_dict()) == {name for name, _ in net.named_parameters()}
    net(torch.rand(1, 3, 64, 128)).square().mean().backward()
    assert all(value.grad is not None and value.grad.any() for value in net.parameters())


def test_saved_and_loaded_it_gives_the_same_picture(tmp_path):
    torch.manual_seed(0)
    first, second = MalleNet(TINY).eval(), MalleNet(TINY).eval()
    torch.save(first.state_dict(), tmp_path / "net.pt")
    second.load_state_dict(torch.load(tmp_path / "net.pt", weights_only=True))
    x = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(second(x), first(x), rtol=0, atol=0)


def test_presets_grow():
    sizes = [sum(p.numel() for p in MalleNet(c).parameters()) for c in STILLS_PRESETS.values()]
    assert sizes == sorted(sizes)
