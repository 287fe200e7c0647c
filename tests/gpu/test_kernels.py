"""The compiled kernels on a real GPU, beside the reference: every type, kernel size, stride, alignment."""

import pytest
import torch
from helpers.slicing import CASES, KERNEL_SIZES, draw

from malle_rt.cuda.kernels import Kernels, SliceDims
from malle_rt.cuda.opening import open_driver
from malle_rt.ops.reference import slice_in_torch

pytestmark = pytest.mark.gpu

DTYPES = {"f16": torch.float16, "f32": torch.float32}
# (channels, groups, height, width, kernel size, stride): the slices of the networks, from 48 pixels to 4K.
LARGE = [
    (1, 1, 720, 1280, 5, 4),
    (2, 1, 360, 640, 3, 2),
    (1, 1, 720, 1280, 5, 2),
    (2, 1, 360, 640, 3, 1),
    (16, 16, 360, 640, 3, 4),
    (96, 96, 360, 640, 3, 4),
    (1, 1, 2160, 3840, 5, 2),
]


@pytest.fixture(scope="module")
def kernels():
    driver = open_driver()
    yield Kernels(driver)
    driver.close()


def launched(kernels, x, grid, kernel_size, *, offset=0):
    """The kernel's result; ``offset`` elements shift each tensor away from the allocator's alignment."""

    def placed(tensor):
        memory = torch.empty(tensor.numel() + offset, dtype=tensor.dtype, device="cuda")
        view = memory[offset:].view(tensor.shape)
        return view.copy_(tensor)

    x, grid = placed(x), placed(grid)
    y = placed(torch.full_like(x, float("nan")))
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    storage = {dtype: name for name, dtype in DTYPES.items()}[x.dtype]
    dims = SliceDims.of(x.shape, grid.shape, kernel_size)
    kernels.slice(x.data_ptr(), grid.data_ptr(), y.data_ptr(), dims, storage, stream.cuda_stream)
    stream.synchronize()
    return y


def assert_as_good_as_torch(y, x, grid, kernel_size):
    """No further from float64 than twice what torch loses in the same types."""
    exact = slice_in_torch(x.double(), grid.double(), kernel_size)
    floor = (slice_in_torch(x, grid, kernel_size).double() - exact).abs().max()
    assert torch.isfinite(y).all()
    assert (y.double() - exact).abs().max() <= 2 * floor + 1e-6


@pytest.mark.parametrize("kernel_size", KERNEL_SIZES)
@pytest.mark.parametrize("storage", DTYPES)
@pytest.mark.parametrize("offset", [0, 1, 3])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_small_slices(kernels, case, storage, kernel_size, offset):
    x, grid = (torch.from_numpy(each).to("cuda", DTYPES[storage]) for each in draw(case, kernel_size))
    assert_as_good_as_torch(launched(kernels, x, grid, kernel_size, offset=offset), x, grid, kernel_size)


@pytest.mark.parametrize("storage", DTYPES)
@pytest.mark.parametrize("height", [24, 40])
@pytest.mark.parametrize("width", [8, 16, 40, 72, 264])
@pytest.mark.parametrize(
    ("channels", "groups", "kernel_size", "stride"),
    [(1, 1, 5, 4), (2, 1, 3, 2), (1, 1, 5, 2), (2, 1, 3, 1), (16, 16, 3, 4)],
)
def test_small_slices_of_the_networks(kernels, storage, height, width, channels, groups, kernel_size, stride):
    case = (channels, groups, height // stride, width // stride, stride)
    x, grid = (torch.from_numpy(each).to("cuda", DTYPES[storage]) for each in draw(case, kernel_size))
    assert_as_good_as_torch(launched(kernels, x, grid, kernel_size), x, grid, kernel_size)


@pytest.mark.parametrize("storage", DTYPES)
@pytest.mark.parametrize("case", LARGE, ids=str)
def test_large_slices(kernels, case, storage):
    channels, groups, height, width, kernel_size, stride = case
    generator = torch.Generator("cuda").manual_seed(0)
    shape = (1, groups * (kernel_size**2 + 1), height // stride, width // stride)
    x = torch.rand(1, channels, height, width, generator=generator, device="cuda").to(DTYPES[storage])
    grid = torch.randn(shape, generator=generator, device="cuda").to(DTYPES[storage])
    assert_as_good_as_torch(launched(kernels, x, grid, kernel_size), x, grid, kernel_size)
