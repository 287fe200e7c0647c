"""The fused slice, compiled for the host from the sources that GPUs get, against its definition."""

from __future__ import annotations

import ctypes
import json

import numpy as np
import pytest
import torch
from helpers import cuda_host
from helpers.cuda_host import Guarded
from helpers.slicing import CASES, KERNEL_SIZES, draw

from malle_rt.cuda.kernels import COMPILED
from malle_rt.cuda.launches import SliceDims, slice_launch
from malle_rt.ops.reference import malle_slice

DTYPES = {"f16": np.float16, "f32": np.float32}
# (channels, groups, grid rows, grid columns, stride), kernel size: what MalleNet-RT asks for, in small. Widths on
# both sides of a block's, one patch alone, channels that do not fill the last round.
FAST = [
    ((1, 1, 9, 40, 4), 5),
    ((1, 1, 10, 76, 4), 5),
    ((2, 2, 1, 2, 4), 5),
    ((2, 1, 10, 24, 2), 3),
    ((3, 1, 5, 8, 2), 3),
    ((2, 2, 3, 136, 2), 3),
    ((1, 1, 9, 40, 2), 5),
    ((1, 1, 20, 152, 2), 5),
    ((2, 2, 1, 4, 2), 5),
    ((2, 1, 20, 48, 1), 3),
    ((3, 1, 5, 8, 1), 3),
    ((2, 2, 3, 272, 1), 3),
    ((16, 16, 5, 12, 4), 3),
    ((4, 2, 1, 2, 4), 3),
    ((1, 1, 18, 70, 4), 3),
]


def run(x, grid, kernel_size, storage, *, offset=0):
    """y in float64, and the name of the kernel; x and grid are in the storage type."""
    dims = SliceDims.of(x.shape, grid.shape, kernel_size)
    arrays = [Guarded(each, offset=offset) for each in (x, grid, np.full_like(x, np.nan))]
    launch = slice_launch(*(each.pointer for each in arrays), dims, storage)
    cuda_host.start(launch)
    for each in arrays:
        each.check()
    return arrays[2].array.astype(np.float64), launch.name


def check(x, grid, kernel_size, storage, y):
    """Twice of what the reference itself loses in this storage type, and a float32 sum's last digits, are allowed."""
    exact = malle_slice(*(torch.from_numpy(each.astype(np.float64)) for each in (x, grid)), kernel_size)
    low = malle_slice(torch.from_numpy(x), torch.from_numpy(grid), kernel_size)
    floor = (low.double() - exact).abs().max().item()
    assert np.abs(y - exact.numpy()).max() <= 2 * floor + 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("storage", DTYPES)
@pytest.mark.parametrize("kernel_size", KERNEL_SIZES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_the_reference(case, kernel_size, storage):
    x, grid = (each.astype(DTYPES[storage]) for each in draw(case, kernel_size))
    y, _ = run(x, grid, kernel_size, storage)
    check(x, grid, kernel_size, storage, y)


@pytest.mark.slow
@pytest.mark.parametrize("storage", DTYPES)
@pytest.mark.parametrize(("case", "kernel_size"), FAST, ids=str)
def test_the_networks_slices_take_the_fast_kernels(case, kernel_size, storage):
    x, grid = (each.astype(DTYPES[storage]) for each in draw(case, kernel_size))
    y, name = run(x, grid, kernel_size, storage)
    assert name == f"malle_slice_{storage}_k{kernel_size}_s{case[-1]}"
    check(x, grid, kernel_size, storage, y)


@pytest.mark.slow
@pytest.mark.parametrize("storage", DTYPES)
@pytest.mark.parametrize(("case", "kernel_size"), FAST, ids=str)
def test_addresses_that_fit_no_pack_take_the_general_kernel(case, kernel_size, storage):
    x, grid = (each.astype(DTYPES[storage]) for each in draw(case, kernel_size))
    y, name = run(x, grid, kernel_size, storage, offset=1)
    assert name == f"malle_slice_{storage}_k{kernel_size}"
    check(x, grid, kernel_size, storage, y)


@pytest.mark.parametrize("offset", [0, 1])
def test_without_interpolation_a_broken_kernel_breaks_one_pixel(offset):
    x, grid = draw((2, 1, 5, 16, 1), 3, batch=1)
    grid[0, 4, 2, 7] = np.inf
    y, _ = run(x, grid, 3, "f32", offset=offset)
    assert np.argwhere(~np.isfinite(y)).tolist() == [[0, 0, 2, 7], [0, 1, 2, 7]]


def test_the_host_refuses_a_misaligned_address_as_a_gpu_would():
    x, grid = draw((1, 1, 4, 8, 2), 5, batch=1)
    arrays = [Guarded(each) for each in (x, grid, x)]
    launch = slice_launch(*(each.pointer for each in arrays), SliceDims.of(x.shape, grid.shape, 5), "f32")
    for argument in launch.arguments[:3]:
        argument.value += 4
    with pytest.raises(AssertionError, match="failed with 3"):
        cuda_host.start(launch)


def test_every_shipped_kernel_is_tested_here():
    kernels = json.loads((COMPILED / "manifest.json").read_text())["kernels"]
    assert [name for name in kernels if cuda_host.parameter_sizes(name) is None] == []


@pytest.mark.parametrize(
    ("x", "grid", "kernel_size", "message"),
    [
        ((1, 2, 8, 8), (1, 10, 4, 4), 2, r"grid must have G \* 5 channels|kernel_size must be one of"),
        ((1, 2, 8, 8), (1, 5, 4, 4), 2, r"kernel_size must be one of \(1, 3, 5\), got 2"),
        ((2, 8, 8), (10, 4, 4), 3, r"\(N, C, H, W\) with one N, got \(2, 8, 8\)"),
        ((2, 2, 8, 8), (1, 10, 4, 4), 3, r"with one N, got \(2, 2, 8, 8\) and \(1, 10, 4, 4\)"),
        ((1, 2, 8, 8), (1, 11, 4, 4), 3, r"G \* 10 channels, got 11"),
        ((1, 3, 8, 8), (1, 20, 4, 4), 3, "groups must divide the 3 channels of x, got 2"),
        ((1, 2, 9, 8), (1, 10, 4, 4), 3, "one integer stride larger than grid, got 9x8 over 4x4"),
        ((1, 2, 8, 16), (1, 10, 4, 4), 3, "one integer stride larger than grid, got 8x16 over 4x4"),
        ((1, 2, 0, 0), (1, 10, 0, 0), 3, "at least one of everything"),
        ((65536, 1, 1, 1), (65536, 2, 1, 1), 1, r"batch \* groups must be at most 65535, got 65536 \* 1"),
    ],
)
def test_refuses_sizes_outside_the_contract(x, grid, kernel_size, message):
    with pytest.raises(ValueError, match=message):
        SliceDims.of(x, grid, kernel_size)


def test_refuses_a_picture_that_no_launch_covers():
    dims = SliceDims.of((1, 1, 2**22, 1), (1, 2, 2**22, 1), 1)
    with pytest.raises(ValueError, match=r"up to \d+ rows of threads, got 4194304"):
        slice_launch(0, 0, 0, dims, "f32")


def test_arguments_have_the_kernels_sizes():
    dims = SliceDims.of((1, 1, 8, 8), (1, 2, 4, 4), 1)
    assert [type(each) for each in slice_launch(0, 0, 0, dims, "f16").arguments] == [
        *[ctypes.c_uint64] * 3,
        *[ctypes.c_int] * 4,
    ]
