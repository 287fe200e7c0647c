"""What MalleNet-RT does beside its convolutions, in plain torch: the definition of "right" for other implementations.

``rt_input`` makes of a frame and of its past what the first layer sees. ``rt_output`` applies the kernels that the
last layer predicts. Frame and past are split into two bands there: the *low* one are means over a cell of the kernels'
grid; the *fine* one is what is left without it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from malle_rt.ops.reference import malle_slice

__all__ = ["GRID", "KERNEL_CHANNELS", "KERNEL_SIZES", "input_in_torch", "output_in_torch"]

GRID = 4  # stride of the kernels' grid to the luma; 2 to the chroma
LUMA_FINE, CHROMA_FINE, LOW = 5, 3, 5
KERNEL_SIZES = (LUMA_FINE, LOW, CHROMA_FINE, LOW)  # luma's fine and low band, chroma's fine and low band
KERNEL_CHANNELS = 2 * sum(size**2 for size in KERNEL_SIZES)  # each for the frame, and for its past
# Inputs of about unit spread: pictures are centred and stretched, and noise levels, at most 0.3, would whisper.
PICTURE_GAIN = 4.0
SIGMA_GAIN = 8.0
MISFIT_GAIN, LARGEST_MISFIT = 16.0, 2.0


def input_in_torch(
    y: Tensor, uv: Tensor, noise: Tensor, y_before: Tensor, uv_before: Tensor, hidden: Tensor
) -> Tensor:
    """What the first layer sees, of about unit spread.

    Args:
        y: (N, 1, H, W) noisy luma, code value / largest code value, [0, 1]; H and W multiples of 4.
        uv: (N, 2, H/2, W/2) noisy U and V, the same scale.
        noise: (N, 4, 1, 1): standard deviation of the luma's noise in black and in white parts, the same scale,
            between which it is interpolated by brightness; of the chroma's; and how coarse it is, 0 (white) to 1 (its
            variance is all in means of 4 x 4 pixels).
        y_before: (N, 1, H, W) the previous denoised luma, moved to where it is in this frame.
        uv_before: (N, 2, H/2, W/2), likewise.
        hidden: (N, hidden, H/2, W/2), likewise.

    Returns:
        (N, 16 + hidden, H/2, W/2): luma of 2 x 2 pixels, chroma; the same of the past; the luma's noise level, how
        badly the past fits, the chroma's noise level, coarseness; the hidden state.
    """
    brightness = low_band(y, GRID)
    dark, bright, chroma, coarse = noise.split(1, 1)
    luma = SIGMA_GAIN * (dark + (bright - dark) * brightness)
    misfit = F.avg_pool2d((brightness - low_band(y_before, GRID)).abs(), 3, 1, 1, count_include_pad=False)
    misfit = (MISFIT_GAIN * misfit).clamp(max=LARGEST_MISFIT)
    known = F.interpolate(torch.cat((luma, misfit), 1), scale_factor=2.0, mode="nearest")
    constant = torch.cat((SIGMA_GAIN * chroma, coarse), 1).expand(-1, -1, *uv.shape[2:])
    pictures = torch.cat((F.pixel_unshuffle(y, 2), uv, F.pixel_unshuffle(y_before, 2), uv_before), 1)
    return torch.cat((PICTURE_GAIN * (pictures - 0.5), known, constant, hidden), 1)


def output_in_torch(
    kernels: Tensor, y: Tensor, uv: Tensor, y_before: Tensor, uv_before: Tensor
) -> tuple[Tensor, Tensor]:
    """The denoised planes.

    Args:
        kernels: (N, 168, H/4, W/4), taps in row-major order of the kernels for the luma's fine band, 5 x 5 pixels, its
            low band, 5 x 5 cells, the chroma's fine band, 3 x 3 pixels, and its low band, 5 x 5 cells; each first for
            the frame and then for its past.
        y: as for ``input_in_torch``.
        uv: likewise.
        y_before: likewise.
        uv_before: likewise.

    Returns:
        y (N, 1, H, W) and uv (N, 2, H/2, W/2), clipped to [0, 1].
    """
    fine, low, chroma_fine, chroma_low = kernels.split([2 * size**2 for size in KERNEL_SIZES], 1)
    clean_y = _both_bands(fine, low, y, y_before, LUMA_FINE, GRID)
    clean_uv = _both_bands(chroma_fine, chroma_low, uv, uv_before, CHROMA_FINE, GRID // 2)
    return clean_y.clamp(0, 1), clean_uv.clamp(0, 1)


def low_band(plane: Tensor, stride: int) -> Tensor:
    """Means of ``stride`` x ``stride`` pixels."""
    return F.avg_pool2d(plane, stride)


def _wide(low: Tensor, stride: int) -> Tensor:
    """The low band at the plane's size, half-pixel centres and clamped edges: as the slice reads its grid."""
    return F.interpolate(low, scale_factor=float(stride), mode="bilinear", align_corners=False)


def _both_bands(fine: Tensor, low: Tensor, now: Tensor, before: Tensor, size: int, stride: int) -> Tensor:
    fine_sum: Tensor | float = 0.0
    low_sum: Tensor | float = 0.0
    for plane, fine_kernel, low_kernel in zip((now, before), fine.chunk(2, 1), low.chunk(2, 1), strict=True):
        means = low_band(plane, stride)
        fine_sum = fine_sum + malle_slice(plane - _wide(means, stride), _without_bias(fine_kernel), size)
        low_sum = low_sum + _slice_low(means, _without_bias(low_kernel))
    return fine_sum + _wide(torch.as_tensor(low_sum), stride)


def _without_bias(taps: Tensor) -> Tensor:
    """Kernels as ``malle_slice`` wants them, whose last value is a bias."""
    return F.pad(taps, (0, 0, 0, 0, 0, 1))


def _slice_low(low: Tensor, grid: Tensor) -> Tensor:
    """``malle_slice`` at stride 1; beyond the picture its edges go on, so that they do not get darker either."""
    reach = LOW // 2
    low, grid = (F.pad(each, (reach,) * 4, mode="replicate") for each in (low, grid))
    return malle_slice(low, grid, LOW)[..., reach:-reach, reach:-reach]


@torch.library.custom_op("malle::rt_input", mutates_args=())
def _rt_input(
    y: Tensor, uv: Tensor, noise: Tensor, y_before: Tensor, uv_before: Tensor, hidden: Tensor
) -> Tensor:
    return input_in_torch(y, uv, noise, y_before, uv_before, hidden)


@_rt_input.register_fake
def _(y: Tensor, uv: Tensor, noise: Tensor, y_before: Tensor, uv_before: Tensor, hidden: Tensor) -> Tensor:
    n, _, height, width = uv.shape
    return uv.new_empty(n, 16 + hidden.shape[1], height, width)


@torch.library.custom_op("malle::rt_output", mutates_args=())
def _rt_output(
    kernels: Tensor, y: Tensor, uv: Tensor, y_before: Tensor, uv_before: Tensor
) -> tuple[Tensor, Tensor]:
    return output_in_torch(kernels, y, uv, y_before, uv_before)


@_rt_output.register_fake
def _(kernels: Tensor, y: Tensor, uv: Tensor, y_before: Tensor, uv_before: Tensor) -> tuple[Tensor, Tensor]:
    return torch.empty_like(y), torch.empty_like(uv)
