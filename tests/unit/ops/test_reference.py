from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.slicing import CASES, KERNEL_SIZES, draw, slice_by_hand

from malle_rt.ops.reference import malle_slice


def tensors(case, kernel_size, dtype=torch.float32):
    x, grid = draw(case, kernel_size)
    return torch.from_numpy(x).to(dtype), torch.from_numpy(grid).to(dtype)


@pytest.mark.parametrize("kernel_size", KERNEL_SIZES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_the_contract_in_float64(case, kernel_size):
    x, grid = tensors(case, kernel_size, torch.float64)
    result = malle_slice(x, grid, kernel_size)
    # Both sides are float64: what is left is the order of at most 25 additions of products below 1.
    np.testing.assert_allclose(
        result, slice_by_hand(x.numpy(), grid.numpy(), kernel_size), rtol=0, atol=1e-13
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("kernel_size", KERNEL_SIZES)
def test_sums_in_float32_whatever_the_storage(kernel_size, dtype):
    x, grid = tensors((4, 2, 3, 5, 8), kernel_size, dtype)
    exact = malle_slice(x.double(), grid.double(), kernel_size)
    result = malle_slice(x, grid, kernel_size)
    assert result.dtype == dtype
    # The result is rounded to the storage type once: half a unit of its last place. Beside that only the float32
    # sums err: 26 products below 1 interpolated from four values, each operation off by 2**-24 at most.
    allowed = exact.abs() * torch.finfo(dtype).eps / 2 + 100 * 2**-24
    assert ((result.double() - exact).abs() <= allowed).all()


@pytest.mark.slow
@pytest.mark.parametrize("case", [(2, 2, 2, 3, 1), (2, 1, 3, 2, 2), (4, 2, 2, 2, 3)], ids=str)
@pytest.mark.parametrize("kernel_size", KERNEL_SIZES)
def test_gradients_agree_with_finite_differences(case, kernel_size):
    x, grid = (tensor.requires_grad_() for tensor in tensors(case, kernel_size, torch.float64))
    assert torch.autograd.gradcheck(lambda x, grid: malle_slice(x, grid, kernel_size), (x, grid))


def test_gradient_of_the_grid_alone():
    x, grid = tensors((3, 1, 3, 5, 2), 3, torch.float64)
    both = [x.clone().requires_grad_(), grid.clone().requires_grad_()]
    malle_slice(*both, 3).square().sum().backward()
    grid.requires_grad_()
    malle_slice(x, grid, 3).square().sum().backward()
    assert x.grad is None
    torch.testing.assert_close(grid.grad, both[1].grad, rtol=0, atol=0)


@pytest.mark.slow
def test_is_a_sound_custom_operator():
    x, grid = tensors((2, 1, 3, 5, 2), 3)
    torch.library.opcheck(torch.ops.malle.slice.default, (x.requires_grad_(), grid.requires_grad_(), 3))


@pytest.mark.parametrize(
    ("x_shape", "grid_shape", "kernel_size", "message"),
    [
        ((1, 2, 8, 8), (1, 10, 4, 4), 2, r"kernel_size must be one of \(1, 3, 5\), got 2"),
        ((2, 8, 8), (10, 4, 4), 3, r"must be \(N, C, H, W\) with one N, got \(2, 8, 8\)"),
        ((2, 2, 8, 8), (1, 10, 4, 4), 3, r"with one N, got \(2, 2, 8, 8\) and \(1, 10, 4, 4\)"),
        ((1, 2, 8, 8), (1, 11, 4, 4), 3, r"G \* 10 channels with G dividing 2, got 11"),
        ((1, 3, 8, 8), (1, 20, 4, 4), 3, r"G \* 10 channels with G dividing 3, got 20"),
        ((1, 2, 9, 8), (1, 10, 4, 4), 3, r"one integer stride larger than grid, got 9x8 over 4x4"),
        ((1, 2, 8, 16), (1, 10, 4, 4), 3, r"one integer stride larger than grid, got 8x16 over 4x4"),
    ],
)
def test_refuses_shapes_outside_the_contract(x_shape, grid_shape, kernel_size, message):
    with pytest.raises(ValueError, match=message):
        malle_slice(torch.zeros(x_shape), torch.zeros(grid_shape), kernel_size)


@pytest.mark.parametrize("dtypes", [(torch.float32, torch.float16), (torch.int32, torch.int32)], ids=str)
def test_refuses_mixed_and_integer_types(dtypes):
    x, grid = torch.zeros(1, 1, 2, 2, dtype=dtypes[0]), torch.zeros(1, 10, 1, 1, dtype=dtypes[1])
    with pytest.raises(ValueError, match="must share a floating point dtype, got torch"):
        malle_slice(x, grid, 3)
