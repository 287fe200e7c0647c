"""What one pixel costs: multiply-adds of any network in torch, slices included."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

import malle_rt.ops.reference  # noqa: F401  # registers torch.ops.malle.slice
from malle_rt.net import rt, rt2

__all__ = ["kmac_per_pixel", "rt_kmac_per_pixel"]

_SIDE = 64


def kmac_per_pixel(denoise: Callable[[Tensor], object], side: int = _SIDE) -> float:
    """Thousands of multiply-adds per pixel of the picture, in layers, attention and ``malle_slice``.

    That is convolutions, linear layers and matrix products; what only adds, scales or normalises is not counted.

    Args:
        denoise: takes (1, 3, H, W), on the CPU.
        side: of the picture that is counted; a multiple of whatever the network pads to.
    """
    counted = {torch.ops.malle.slice: _slice_flops}
    with torch.no_grad(), FlopCounterMode(display=False, custom_mapping=counted) as counter:
        denoise(torch.zeros(1, 3, side, side))
    return float(counter.get_total_flops()) / 2 / side**2 / 1e3


def rt_kmac_per_pixel(net: rt.MalleNetRT | rt2.MalleNetRT) -> float:
    """The same of one frame of a video, per luma pixel."""
    told = 4 if isinstance(net, rt2.MalleNetRT) else 1

    def one_frame(picture: Tensor) -> None:
        y, uv = picture[:, :1], picture[:, 1:, ::2, ::2]
        net(y, uv, y.new_zeros(1, told, 1, 1), net.first_state(y, uv))

    return kmac_per_pixel(one_frame)


def _slice_flops(x: Sequence[int], grid: Sequence[int], kernel_size: int, *_: Any, **__: Any) -> int:
    """A kernel is read once for all channels that share it."""
    batch, channels, height, width = x
    values = kernel_size**2 + 1
    groups = grid[1] // values
    # At every pixel one multiply-add per tap, and one for each tap's interpolation along x; a row shares that along y.
    return 2 * batch * height * width * values * (channels + groups)
