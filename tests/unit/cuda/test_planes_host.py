"""Pack and unpack, compiled for the host from the sources that GPUs get, against numpy."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import cuda_host
from helpers.cuda_host import Guarded

from malle_rt.backends.base import pad_edge
from malle_rt.cuda.launches import DevicePlanes, pack_launch, unpack_launch

DTYPES = {"f16": np.float16, "f32": np.float32}
SIZES = [(64, 32), (35, 27), (16, 2), (1, 1), (7, 300), (530, 9)]
FORMATS = [
    (8, "planar"),
    (10, "planar"),
    (12, "planar"),
    (16, "planar"),
    (8, "semi-planar"),
    (10, "semi-planar"),
    (16, "semi-planar"),
]
UNTOUCHED = 0x5A


class Frame:
    """Planes in guarded, pitched memory, as a decoder leaves them.

    Attributes:
        codes: Y, U, V, one array each, (rows, columns).
        planes: what the kernels are given.
    """

    def __init__(self, width, height, bits, layout, *, spare, offset):
        half = ((height + 1) // 2, (width + 1) // 2)
        shapes = [(height, width), half, half]
        random = np.random.default_rng(width + bits)
        self.codes = [random.integers(0, 1 << bits, shape) for shape in shapes]
        for codes in self.codes:
            codes.flat[:2] = (1 << bits) - 1, 0
        self._bits, self._layout, self._width, self._height = bits, layout, width, height
        dtype = np.uint8 if bits == 8 else np.uint16
        if layout == "semi-planar":
            shapes = [shapes[0], (half[0], 2 * half[1])]
        self.memory = [
            Guarded(
                np.full((rows, columns + spare), UNTOUCHED * 257 % (np.iinfo(dtype).max + 1), dtype),
                offset=offset,
            )
            for rows, columns in shapes
        ]

    @property
    def planes(self):
        return DevicePlanes(
            pointers=tuple(each.pointer for each in self.memory),
            pitches=tuple(each.array.strides[0] for each in self.memory),
            width=self._width,
            height=self._height,
            bits=self._bits,
            layout=self._layout,
        )

    def views(self):
        """Y, U, V as they lie in memory, shifted where the layout has them so."""
        y, *chroma = (each.array for each in self.memory)
        columns = (self._width + 1) // 2
        if self._layout == "planar":
            u, v = (each[:, :columns] for each in chroma)
        else:
            u, v = chroma[0][:, : 2 * columns : 2], chroma[0][:, 1 : 2 * columns : 2]
        return y[:, : self._width], u, v

    @property
    def shift(self):
        return 16 - self._bits if self._layout == "semi-planar" and self._bits > 8 else 0

    def check_spare(self):
        """Assert that only samples were written: neither between rows nor around the planes."""
        widths = [self._width, *[(self._width + 1) // 2 * (1 if self._layout == "planar" else 2)] * 2]
        for each, width in zip(self.memory, widths, strict=False):
            each.check()
            spare = each.array[:, width:]
            assert (spare == UNTOUCHED * 257 % (np.iinfo(spare.dtype).max + 1)).all()


def padded_size(width, height, multiple=8):
    return tuple(-(-side // multiple) * multiple for side in (height, width))


def tensors(storage, rows, columns, *, offset=0):
    shapes = [(rows, columns), (2, rows // 2, columns // 2)]
    return [Guarded(np.full(shape, np.nan, DTYPES[storage]), offset=offset) for shape in shapes]


@pytest.mark.parametrize("spare_offset", [(0, 0), (64, 0), (3, 1)], ids=["tight", "pitched", "odd"])
@pytest.mark.parametrize("storage", DTYPES)
@pytest.mark.parametrize(("bits", "layout"), FORMATS, ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_pack(size, bits, layout, storage, spare_offset):
    width, height = size
    frame = Frame(width, height, bits, layout, spare=spare_offset[0], offset=spare_offset[1])
    for view, codes in zip(frame.views(), frame.codes, strict=True):
        view[...] = codes << frame.shift
    rows, columns = padded_size(width, height)
    y, uv = tensors(storage, rows, columns, offset=spare_offset[1])
    levels = 4 if bits == 10 else 1
    told = Guarded(np.float32([0.1, 0.2, 0.3, 0.4][:levels]))
    to_told = Guarded(np.zeros(levels, DTYPES[storage]))
    pointers = told.pointer, y.pointer, uv.pointer, to_told.pointer
    options = {"levels": levels, "padded": (rows, columns), "storage": storage}
    cuda_host.start(pack_launch(frame.planes, *pointers, **options))
    for result, codes in zip((y.array, *uv.array), frame.codes, strict=True):
        wanted = np.empty(result.shape, np.uint16)
        pad_edge(codes, wanted)
        scaled = wanted.astype(np.float32) * np.float32(1 / ((1 << bits) - 1))
        np.testing.assert_array_equal(result, scaled.astype(DTYPES[storage]))
    np.testing.assert_array_equal(to_told.array, told.array.astype(DTYPES[storage]))
    for each in (y, uv, told, to_told):
        each.check()


@pytest.mark.parametrize("spare_offset", [(0, 0), (64, 0), (3, 1)], ids=["tight", "pitched", "odd"])
@pytest.mark.parametrize("storage", DTYPES)
@pytest.mark.parametrize(("bits", "layout"), FORMATS, ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_unpack(size, bits, layout, storage, spare_offset):
    width, height = size
    frame = Frame(width, height, bits, layout, spare=spare_offset[0], offset=spare_offset[1])
    rows, columns = padded_size(width, height)
    y, uv = tensors(storage, rows, columns, offset=spare_offset[1])
    random = np.random.default_rng(1)
    for each in (y, uv):
        each.array[...] = random.uniform(-0.2, 1.2, each.array.shape)
    cuda_host.start(
        unpack_launch(y.pointer, uv.pointer, frame.planes, padded=(rows, columns), storage=storage)
    )
    largest = np.float32((1 << bits) - 1)
    for view, values in zip(frame.views(), (y.array, *uv.array), strict=True):
        exact = np.rint((values.astype(np.float32) * largest).clip(0, largest))
        wanted = exact[: view.shape[0], : view.shape[1]].astype(np.int64) << frame.shift
        np.testing.assert_array_equal(view, wanted)
    frame.check_spare()


def test_unpack_rounds_halves_to_even_and_clips():
    frame = Frame(8, 2, 8, "planar", spare=0, offset=0)
    y, uv = tensors("f32", 8, 8)
    y.array[...] = uv.array[...] = 0
    y.array[0] = [0.5 / 255, 1.5 / 255, 2.5 / 255, 127.5 / 255, -1, 2, np.nan, np.inf]
    # The products must be halves, or this test would test nothing.
    assert (y.array[0, :4] * np.float32(255) == [0.5, 1.5, 2.5, 127.5]).all()
    cuda_host.start(unpack_launch(y.pointer, uv.pointer, frame.planes, padded=(8, 8), storage="f32"))
    assert frame.views()[0][0].tolist() == [0, 2, 2, 128, 0, 255, 0, 255]


@pytest.mark.parametrize("bits", [8, 10, 12])
@pytest.mark.parametrize("storage", DTYPES)
def test_pack_and_unpack_give_every_code_back(bits, storage):
    if storage == "f16" and bits > 10:
        pytest.skip("float16 has 11 significant bits")
    frame = Frame(256, 64, bits, "planar", spare=0, offset=0)
    frame.codes[0][...] = np.arange(256 * 64).reshape(64, 256) % (1 << bits)
    for view, codes in zip(frame.views(), frame.codes, strict=True):
        view[...] = codes
    y, uv = tensors(storage, 64, 256)
    sigma, to_sigma = Guarded(np.float32([0])), Guarded(np.zeros(1, DTYPES[storage]))
    pointers = sigma.pointer, y.pointer, uv.pointer, to_sigma.pointer
    cuda_host.start(pack_launch(frame.planes, *pointers, levels=1, padded=(64, 256), storage=storage))
    for view in frame.views():
        view[...] = 0
    cuda_host.start(unpack_launch(y.pointer, uv.pointer, frame.planes, padded=(64, 256), storage=storage))
    for view, codes in zip(frame.views(), frame.codes, strict=True):
        np.testing.assert_array_equal(view, codes)


GOOD = {"pointers": (0, 64, 128), "pitches": (8, 4, 4), "width": 8, "height": 8}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 0}, "at least one pixel, got 0x8"),
        ({"bits": 7}, "8 to 16 bits, got 7"),
        ({"layout": "semi-planar"}, "semi-planar frame has 2 pointers and pitches, got 3 and 3"),
        ({"pitches": (8, 4)}, "planar frame has 3 pointers and pitches, got 3 and 2"),
        ({"pitches": (7, 4, 4)}, "a pitch holds a row of 8 bytes; got address 0x0, pitch 7"),
        ({"bits": 10, "pitches": (16, 9, 8)}, "whole samples of 2 bytes.* pitch 9"),
        ({"bits": 10, "pitches": (16, 8, 8), "pointers": (0, 64, 129)}, "got address 0x81, pitch 8"),
    ],
)
def test_refuses_planes_that_cannot_be(change, message):
    with pytest.raises(ValueError, match=message):
        DevicePlanes(**(GOOD | change))


@pytest.mark.parametrize("padded", [(7, 8), (8, 7), (9, 8), (8, 9)])
def test_refuses_a_padded_size_that_is_odd_or_too_small(padded):
    with pytest.raises(ValueError, match="must be even and hold 8 rows of 8 pixels"):
        unpack_launch(0, 0, DevicePlanes(**GOOD), padded=padded, storage="f16")
