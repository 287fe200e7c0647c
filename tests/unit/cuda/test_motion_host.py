"""Search for motion and moving, compiled for the host from the sources that GPUs get, against torch.

Motion is found bit for bit, and so is what is read from whole pixels; between them, sums round.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import cuda_host
from helpers.cuda_host import Guarded

from malle_rt.cuda.motion import Past, align_launches, motion_memory
from malle_rt.ops.motion import align, find_motion

DTYPES = {"f16": np.float16, "f32": np.float32}
ROUNDING = {"f16": 2**-10, "f32": 1e-6}  # of values around 1
# (rows, columns), and by how much the picture moves: one block, one row, one column, odd counts of blocks.
CASES = [
    ((8, 8), (0, 0)),
    ((8, 72), (0, 3)),
    ((40, 8), (-2, 0)),
    ((64, 80), (6, -7)),
    ((120, 152), (-21, 30)),
]


def tensors(size, step, hidden=3, seed=0):
    """y and what is kept of the video, (N, C, H, W) float32: a noisy picture and where it was before."""
    (height, width), (down, right) = size, step
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 1, (height + 80) // 4, (width + 80) // 4, generator=generator)
    scene = F.interpolate(coarse, scale_factor=4, mode="bicubic").clamp(0, 1)
    now = scene[..., 40 : 40 + height, 40 : 40 + width]
    between = 0.7 * scene + 0.3 * scene.roll(1, 3)
    before = between[..., 40 - down : 40 - down + height, 40 - right : 40 - right + width]
    noise = torch.randn(now.shape, generator=generator) * 0.04
    half = (height // 2, width // 2)
    uv, state = (
        torch.rand(1, 2, *half, generator=generator),
        torch.randn(1, hidden, *half, generator=generator),
    )
    return (now + noise).clamp(0, 1).mul(255).round() / 255, before, uv, state


def aligned(values, storage):
    """What the kernels make of y, y_before, uv_before, hidden_before."""
    y, *past = (Guarded(each.numpy().astype(DTYPES[storage])) for each in values)
    moved = [Guarded(np.full_like(each.array, np.nan)) for each in past]
    padded = y.array.shape[2:]
    # What a GPU's memory holds of others before must not matter.
    memory = Guarded(np.full(motion_memory(padded), 0x5A, np.uint8))
    before, after = (Past(*(each.pointer for each in group)) for group in (past, moved))
    launches = align_launches(
        y.pointer, before, after, memory.pointer, hidden=values[3].shape[1], padded=padded, storage=storage
    )
    for launch in launches:
        cuda_host.start(launch)
    for each in (y, *past, *moved, memory):
        each.check()
    return [each.array for each in moved]


@pytest.mark.parametrize("storage", DTYPES)
@pytest.mark.parametrize(("size", "step"), CASES, ids=str)
def test_finds_and_moves_what_torch_does(size, step, storage):
    values = [torch.from_numpy(each.numpy().astype(DTYPES[storage])) for each in tensors(size, step)]
    codes = (each.float().mul(255).round().byte() for each in values[:2])
    assert step == (0, 0) or (find_motion(*codes) != 0).any()
    exact = align(*(each.float() for each in values))
    for got, wanted in zip(aligned(values, storage), exact, strict=True):
        assert np.abs(got - wanted.numpy().astype(DTYPES[storage])).max() <= ROUNDING[storage]


@pytest.mark.parametrize("seed", range(8))
def test_agrees_where_nothing_belongs_together(seed):
    """Noise, a cut, stripes and flat areas have many ties: each must fall as in the definition."""
    generator = torch.Generator().manual_seed(seed)
    values = list(tensors((56, 104), (5, 5), hidden=1, seed=seed))
    levels = (256, 4, 2)[seed % 3]
    drawn = torch.randint(0, levels, (2, 1, 1, 56, 104), generator=generator).float() / 255
    if seed % 2:
        drawn = drawn.repeat_interleave(8, 4)[..., :104]
    values[0], values[1] = drawn
    for got, wanted in zip(aligned(values, "f32"), align(*values), strict=True):
        np.testing.assert_allclose(got, wanted.numpy(), rtol=0, atol=ROUNDING["f32"])


def test_values_outside_of_the_range_and_no_numbers_lead_nowhere():
    values = list(tensors((16, 16), (0, 0)))
    values[0][..., :4] = 2.0
    values[1][..., :4] = -1.0
    values[1][..., 5, 5] = float("nan")
    moved = aligned(values, "f32")
    assert moved[0].shape == (1, 1, 16, 16)


@pytest.mark.parametrize(
    ("padded", "y", "message"),
    [((12, 16), 0, r"multiples of 8, got \(12, 16\)"), ((16, 16), 8, "multiples of 16 bytes, got .*0x8")],
)
def test_refuses_what_the_kernels_do_not_take(padded, y, message):
    past = Past(0, 0, 0)
    with pytest.raises(ValueError, match=message):
        list(align_launches(y, past, past, 0, hidden=1, padded=padded, storage="f32"))
