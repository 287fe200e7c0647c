"""Which compiled file goes to which GPU, and the way from a call to the kernel on the host driver."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from helpers import cuda_host
from helpers.fakecuda import fake_cuda
from helpers.slicing import draw, slice_by_hand

from malle_rt.cuda.driver import DeviceInfo
from malle_rt.cuda.kernels import COMPILED, DevicePlanes, Kernels, SliceDims, choose_image
from malle_rt.cuda.opening import open_driver
from malle_rt.errors import BackendError, BackendUnavailable

SHIPPED = json.loads((COMPILED / "manifest.json").read_text())
PTX = "compute_75.ptx"


@pytest.fixture
def driver():
    pytest.importorskip("cuda.bindings.driver", reason="cuda-bindings is not installed")
    with fake_cuda(cuda_host.build()):
        opened = open_driver("cuda-bindings")
        yield opened
        opened.close()


@pytest.fixture
def stream(driver):
    with_stream = driver.stream()
    yield with_stream
    with_stream.close()


@pytest.fixture
def put(driver, stream):
    """A function that brings an array to the device and gives its address."""
    buffers = []

    def upload(array):
        buffers.append(driver.allocate(array.nbytes))
        driver.upload(buffers[-1].pointer, np.ascontiguousarray(array), stream)
        return buffers[-1].pointer

    yield upload
    for buffer in buffers:
        buffer.close()


def fetch(driver, stream, pointer, like):
    result = np.empty_like(like)
    driver.download(result, pointer, stream)
    stream.synchronize()
    return result


def gpu(capability, driver=13000):
    return DeviceInfo(0, "NVIDIA Example", capability, driver, 2**33)


@pytest.mark.parametrize(
    ("capability", "driver", "wanted"),
    [
        ((7, 5), 13000, "sm_75.cubin"),
        ((8, 0), 13000, "sm_80.cubin"),
        ((8, 7), 13000, "sm_87.cubin"),
        ((8, 9), 13010, "sm_89.cubin"),
        ((9, 0), 13000, "sm_90.cubin"),
        ((11, 0), 13000, "sm_110.cubin"),
        ((12, 1), 13000, "sm_120.cubin"),
        ((10, 3), 13000, "sm_100.cubin"),
        ((13, 0), 14000, PTX),
        # A CUDA 12 driver does not take what CUDA 13 assembled.
        ((8, 7), 12060, PTX),
    ],
)
def test_every_gpu_gets_the_file_that_fits_it(capability, driver, wanted):
    assert choose_image(gpu(capability, driver), SHIPPED["files"], 13) == wanted


@pytest.mark.parametrize("capability", [(6, 1), (7, 0), (7, 2)])
def test_an_older_gpu_is_told_what_it_would_take(capability):
    with pytest.raises(
        BackendUnavailable, match=r"missing for this GPU: NVIDIA Example has .* need 7\.5 or newer"
    ):
        choose_image(gpu(capability), SHIPPED["files"], 13)


def test_ships_what_the_supported_gpus_need():
    cubins = {f"sm_{each}.cubin" for each in (75, 80, 86, 87, 89, 90, 100, 110, 120)}
    assert set(SHIPPED["files"]) == cubins | {PTX}
    assert {path.name for path in COMPILED.iterdir()} == {*SHIPPED["files"], "manifest.json"}


def test_the_ptx_suits_drivers_since_cuda_11():
    lines = (COMPILED / PTX).read_text().splitlines()
    assert ".version 7.0" in lines
    assert ".target sm_75" in lines


@pytest.fixture
def copied(tmp_path):
    return shutil.copytree(COMPILED, tmp_path / "compiled")


def test_a_damaged_file_is_not_loaded(driver, copied):
    image = Kernels(driver, copied).image
    (copied / image).write_bytes((copied / image).read_bytes() + b"\0")
    with pytest.raises(
        BackendError, match=rf"{image} is not the file of this release: .* reinstall malle-rt"
    ):
        Kernels(driver, copied)


@pytest.mark.parametrize(
    ("gone", "message"),
    [("manifest.json", "kernels are missing .* reinstall"), (None, "kernel is missing .* reinstall")],
)
def test_a_missing_file_is_named(gone, message, driver, copied):
    gone = gone or Kernels(driver, copied).image
    (copied / gone).unlink()
    with pytest.raises(BackendError, match=message) as caught:
        Kernels(driver, copied)
    assert gone in str(caught.value)


def test_tells_what_it_loaded(driver):
    kernels = Kernels(driver)
    assert kernels.image in SHIPPED["files"]
    assert kernels.checksum == SHIPPED["files"][kernels.image]


def test_slice(driver, stream, put):
    x, grid = draw((1, 1, 6, 8, 2), 5, batch=1)
    y = np.empty_like(x)
    address = put(y)
    dims = SliceDims.of(x.shape, grid.shape, 5)
    Kernels(driver).slice(put(x), put(grid), address, dims, "f32", stream.handle)
    # Float32 sums of 26 products below 1.
    np.testing.assert_allclose(
        fetch(driver, stream, address, y), slice_by_hand(x, grid, 5), rtol=0, atol=6e-6
    )


def test_pack_and_unpack(driver, stream, put):
    kernels = Kernels(driver)
    random = np.random.default_rng(0)
    frame = [random.integers(0, 256, shape, np.uint8) for shape in ((5, 7), (3, 4), (3, 4))]

    def planes(pointers):
        return DevicePlanes(pointers=tuple(pointers), pitches=(7, 4, 4), width=7, height=5)

    y, uv, sigma = put(np.empty((8, 8), np.float16)), put(np.empty((2, 4, 4), np.float16)), np.float16([0])
    to_sigma = put(sigma)
    source, target = planes(map(put, frame)), planes(put(np.zeros_like(each)) for each in frame)
    options = {"padded": (8, 8), "storage": "f16", "stream": stream.handle}
    kernels.pack(source, put(np.float32([0.2])), y, uv, to_sigma, levels=1, **options)
    kernels.unpack(y, uv, target, **options)
    for pointer, plane in zip(target.pointers, frame, strict=True):
        np.testing.assert_array_equal(fetch(driver, stream, pointer, plane), plane)
    assert fetch(driver, stream, to_sigma, sigma) == np.float16(0.2)
