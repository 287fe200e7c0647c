import re

import av
import numpy as np
import pytest

from malle_rt.arrays import PIXEL_FORMATS, array_format, host_array
from malle_rt.errors import ConfigError

SIZE = (48, 64)  # rows, columns


def picture(pixel_format, size=SIZE, seed=0):
    """Random samples in the format's array."""
    form = array_format(pixel_format)
    shape = {"rgb": (*size, 3), "gray": size}.get(form.kind, (size[0] * 3 // 2, size[1]))
    samples = np.random.default_rng(seed).integers(0, 1 << form.bits, shape)
    return (samples << form.shift).astype(form.dtype)


@pytest.mark.parametrize("pixel_format", PIXEL_FORMATS)
def test_there_and_back_is_the_same_picture(pixel_format):
    form, array = array_format(pixel_format), picture(pixel_format)
    back = form.array(form.frame(array, 0))
    assert (back.dtype, back.shape, back.flags.c_contiguous) == (array.dtype, array.shape, True)
    # 8-bit RGB fits into 10-bit YUV; 16-bit RGB into as many of limited range, but for 3 bits.
    furthest = 7 if pixel_format in ("rgb48", "bgr48") else 0
    assert np.abs(back.astype(int) - array).max() <= furthest


@pytest.mark.parametrize("pixel_format", ["gray", "gray10", "gray16", "yuv420p", "yuv420p10", "nv12"])
def test_planes_are_the_callers_memory(pixel_format):
    array = picture(pixel_format)
    frame = array_format(pixel_format).frame(array, 0)
    assert all(np.shares_memory(plane, array) for plane in frame.planes)
    array[:] = 1
    assert all((plane == 1).all() for plane in frame.planes)


@pytest.mark.parametrize("pixel_format", ["yuv420p", "nv12"])
@pytest.mark.parametrize("size", [(48, 64), (50, 62)])
def test_planar_arrays_are_laid_out_as_pyav_has_them(pixel_format, size):
    array = picture(pixel_format, size)
    decoded = av.VideoFrame.from_ndarray(array, format=pixel_format)
    np.testing.assert_array_equal(decoded.to_ndarray(), array)
    parts = decoded.reformat(format="yuv420p").to_ndarray()
    rows, columns = size
    planes = array_format(pixel_format).frame(array, 0).planes
    np.testing.assert_array_equal(np.concatenate([plane.ravel() for plane in planes]), parts.ravel())
    assert [plane.shape for plane in planes] == [(rows, columns)] + [(rows // 2, columns // 2)] * 2


def test_p010_has_its_samples_in_the_high_bits():
    array = picture("p010")
    planes = array_format("p010").frame(array, 0).planes
    np.testing.assert_array_equal(planes[0], array[: SIZE[0]] >> 6)


@pytest.mark.parametrize("pixel_format", ["rgb24", "gray", "yuv420p", "nv12"])
def test_views_of_larger_arrays_are_taken(pixel_format):
    array = picture(pixel_format)
    larger = np.zeros((array.shape[0], array.shape[1] * 2, *array.shape[2:]), array.dtype)
    larger[:, ::2] = array
    form = array_format(pixel_format)
    for ours, wanted in zip(form.frame(larger[:, ::2], 0).planes, form.frame(array, 0).planes, strict=True):
        np.testing.assert_array_equal(ours, wanted)


@pytest.mark.parametrize(
    ("pixel_format", "array", "says"),
    [
        ("rgb24", np.zeros((8, 8, 3), np.float32), "uint8 of shape (H, W, 3), got float32. Scale and round"),
        ("gray16", np.zeros((8, 8)), "got float64. Scale and round it: (frame * 65535 + 0.5).astype(uint16)"),
        ("rgb24", np.zeros((8, 8, 3), np.uint16), "got uint16. pixel_format says"),
        ("gray16", np.zeros((8, 8), ">u2"), "Swap its bytes"),
        ("rgb24", np.zeros((3, 8, 8), np.uint8), "got shape (3, 8, 8). Colours come last"),
        ("rgb24", np.zeros((8, 8, 4), np.uint8), "Leave alpha out"),
        ("rgb24", np.zeros((8, 8), np.uint8), "pixel_format says which layout"),
        ("gray", np.zeros((8, 8, 3), np.uint8), "rgb24 and bgr24 are (H, W, 3)"),
        ("rgb24", np.zeros((2, 8, 8, 3), np.uint8), "denoiser.stream(frames)"),
        ("rgb24", np.zeros((0, 8, 3), np.uint8), "which is empty"),
        ("yuv420p", np.zeros((13, 8), np.uint8), "H and W even, got shape (13, 8). Pad odd sizes"),
        ("nv12", np.zeros((12, 7), np.uint8), "Pad odd sizes"),
        ("gray10", np.full((8, 8), 1024, np.uint16), "samples up to 1023, got 1024"),
    ],
)
def test_what_is_no_such_array_is_refused_in_one_line(pixel_format, array, says):
    with pytest.raises(ConfigError, match=re.escape(says)) as caught:
        array_format(pixel_format).frame(array, 0)
    assert "\n" not in str(caught.value)


def test_an_unknown_format_is_told_those_there_are():
    with pytest.raises(ConfigError, match=r"must be one of rgb24, .*nv12, p010, got 'yuyv422'"):
        array_format("yuyv422")
    assert array_format("yuv420p10le") is array_format("yuv420p10")


class Elsewhere:
    """A tensor in a GPU's memory."""

    def __dlpack__(self, **_):
        raise AssertionError("its memory must not be asked for")

    def __dlpack_device__(self):
        return 2, 1


def test_a_tensor_on_a_gpu_is_refused_and_so_is_a_list():
    with pytest.raises(ConfigError, match=r"device 1 of DLPack's type 2\. Bring it there first"):
        host_array(Elsewhere())
    with pytest.raises(ConfigError, match=r"got builtins\.list"):
        host_array([[1, 2], [3, 4]])


def test_a_tensor_of_torch_is_taken_without_a_copy_and_given_back():
    torch = pytest.importorskip("torch")
    tensor = torch.zeros((3, 8, 6), dtype=torch.uint8).permute(1, 2, 0)
    array, back = host_array(tensor)
    assert array.shape == (8, 6, 3)
    tensor += 7
    assert (array == 7).all()
    made = np.ones((8, 6, 3), np.uint8)
    given = back(made)
    assert isinstance(given, torch.Tensor)
    made[:] = 5
    assert (given == 5).all()
    with pytest.raises(ConfigError, match=r"does not take this torch\.Tensor"):
        host_array(torch.zeros(2, requires_grad=True))


class OfALibrary:
    """An array of a library that numpy has not heard of."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **more):
        return self.array.__dlpack__(**more)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()

    def __array_namespace__(self):
        return Library


class Library:
    from_dlpack = OfALibrary


def test_an_array_of_any_library_comes_back_as_its_own():
    array, back = host_array(OfALibrary(np.arange(6)))
    assert isinstance(back(array), OfALibrary)
