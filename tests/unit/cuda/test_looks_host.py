"""Sums of blocks and parts of surfaces, compiled for the host from the sources that GPUs get, against numpy."""

import numpy as np
import pytest
from helpers import cuda_host
from helpers.cuda_host import Guarded

from malle_rt.cuda.launches import DevicePlanes
from malle_rt.cuda.looks import BLOCK, block_sums_launch, blocks_of, parts_launch
from malle_rt.cuts import BLOCK as BLOCK_OF_CUTS
from malle_rt.errors import ConfigError
from malle_rt.learned_estimate import parts_of


class Picture:
    """A surface in guarded, pitched memory."""

    def __init__(self, width, height, bits, *, spare=6, offset=0):
        random = np.random.default_rng(width + bits)
        dtype = np.uint8 if bits == 8 else np.uint16
        shift = 16 - bits if bits > 8 else 0
        sizes = [(height, width), (height // 2, width)]
        self.codes = [random.integers(0, 1 << bits, size).astype(dtype) for size in sizes]
        self.memory = [
            Guarded(np.pad(codes << shift, ((0, 0), (0, spare)), constant_values=99), offset=offset)
            for codes in self.codes
        ]
        self.planes = DevicePlanes(
            pointers=tuple(each.pointer for each in self.memory),
            pitches=tuple(each.array.strides[0] for each in self.memory),
            width=width,
            height=height,
            bits=bits,
            layout="semi-planar",
        )


@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize(("spare", "offset"), [(0, 0), (6, 0), (16, 3)])
@pytest.mark.parametrize(("size", "step"), [((64, 48), 1), ((150, 100), 2), ((34, 16), 1)])
def test_blocks_are_summed(bits, spare, offset, size, step):
    picture = Picture(*size, bits, spare=spare, offset=offset)
    rows, columns = blocks_of(*size, step)
    luma = picture.codes[0][: size[1] // BLOCK * BLOCK, : columns * BLOCK].astype(np.uint32)
    wanted = luma.reshape(-1, BLOCK, columns, BLOCK).sum((1, 3))[::step]
    assert wanted.shape == (rows, columns)
    sums = Guarded(np.full((rows, columns), 7, np.uint32))
    cuda_host.start(block_sums_launch(picture.planes, step, sums.pointer))
    np.testing.assert_array_equal(sums.array, wanted)
    for each in (*picture.memory, sums):
        each.check()


@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize("size", [(400, 260), (320, 192), (100, 64), (32, 32)])
def test_parts_are_copied(bits, size):
    picture = Picture(*size, bits)
    parts = parts_of(size[1], size[0])
    height, width = (side.stop - side.start for side in parts[0])
    luma = Guarded(np.zeros((len(parts), height, width), picture.codes[0].dtype))
    chroma = Guarded(np.zeros((2, len(parts), height // 2, width // 2), luma.array.dtype))
    cuda_host.start(parts_launch(picture.planes, parts, luma.pointer, chroma.pointer))
    for index, (rows, columns) in enumerate(parts):
        np.testing.assert_array_equal(luma.array[index], picture.codes[0][rows, columns])
        half = picture.codes[1][rows.start // 2 : rows.stop // 2, columns]
        np.testing.assert_array_equal(chroma.array[:, index], np.stack([half[:, ::2], half[:, 1::2]]))
    for each in (*picture.memory, luma, chroma):
        each.check()


def test_other_parts_are_refused():
    planes = Picture(64, 64, 8).planes
    odd = [(slice(1, 17), slice(0, 16))]
    scattered = [(slice(0, 16), slice(0, 16)), (slice(16, 32), slice(0, 16))]
    for parts in (odd, scattered):
        with pytest.raises(ConfigError, match="one or four of one even size"):
            parts_launch(planes, parts, 0, 0)


def test_a_block_is_the_same_everywhere():
    assert BLOCK == BLOCK_OF_CUTS
