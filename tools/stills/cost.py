"""What one pixel costs: multiply-adds of any network, slices included."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

import malle_rt.ops.reference  # noqa: F401  # registers torch.ops.malle.slice

__all__ = ["kmac_per_pixel"]


def kmac_per_pixel(denoise: Callable[[Tensor], Tensor], side: int = 64) -> float:
    """Thousands of multiply-adds per pixel of the picture, in layers, attention and ``malle_slice``.

    That is convolutions, linear layers and matrix products; what only adds, scales or normalises is not counted.


    Args:
        denoise: (1, 3, H, W) to the same, on the CPU.
        side: of the picture that is counted; a multiple of whatever the network pads to.
    """
    counted = {torch.ops.malle.slice: _slice_flops}
    with torch.no_grad(), FlopCounterMode(display=False, custom_mapping=counted) as counter:
        denoise(torch.zeros(1, 3, side, side))
    return float(counter.get_total_flops()) / 2 / side**2 / 1e3


def _slice_flops(x: Sequence[int], grid: Sequence[int], kernel_size: int, *_: Any, **__: Any) -> int:
    """As ``malle_rt.net.rt.macs_per_pixel`` counts: a kernel is read once for all channels that share it."""
    batch, channels, height, width = x
    values = kernel_size**2 + 1
    groups = grid[1] // values
    # At every pixel one multiply-add per tap, and one for each tap's interpolation along x; a row shares that along y.
    return 2 * batch * height * width * values * (channels + groups)
