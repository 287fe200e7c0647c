import pytest
import torch

from malle_rt.net.malleconv import MalleConv


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
@pytest.mark.parametrize("groups", [None, 1, 2])
def test_a_fresh_one_is_close_to_the_identity_and_trains(kernel_size, groups):
    torch.manual_seed(0)
    conv = MalleConv(4, 6, kernel_size=kernel_size, groups=groups, hidden=5)
    x, context = torch.rand(2, 4, 16, 24), torch.zeros(2, 6, 4, 6)
    y = conv(x, context)
    assert y.shape == x.shape
    (y - x).square().sum().backward()
    assert all(p.grad is not None for p in conv.parameters())
    with torch.no_grad():
        conv.predictor[-1].weight.zero_()
    torch.testing.assert_close(conv(x, context), x)


def test_the_kernels_follow_the_context():
    conv = MalleConv(2, 3)
    x = torch.rand(1, 2, 8, 8)
    first, second = (conv(x, torch.full((1, 3, 2, 2), value)) for value in (0.0, 3.0))
    assert not torch.allclose(first, second)


def test_rejects_other_kernel_sizes():
    with pytest.raises(ValueError, match="kernel_size must be one of"):
        MalleConv(4, 4, kernel_size=7)
