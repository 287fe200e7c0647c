"""``malle_slice`` in plain torch: the definition of "right" for every other implementation.

The operator is the slicing step of MalleConv (Jiang et al., "Fast and High-Quality Image Denoising via
Malleable Convolutions", ECCV 2022): kernels predicted on a coarse grid are read with bilinear interpolation at
every pixel and applied there, without the full-resolution kernels ever existing in memory.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["KERNEL_SIZES", "gradient_in_torch", "malle_slice", "slice_in_torch"]

KERNEL_SIZES = (1, 3, 5)


def malle_slice(x: Tensor, grid: Tensor, kernel_size: int) -> Tensor:
    """Apply to each pixel of ``x`` the kernel that ``grid`` holds for its position.

    The grid is upsampled bilinearly to (H, W) with half-pixel centres and clamped edges; each pixel's
    ``kernel_size`` x ``kernel_size`` kernel is applied to ``x`` with zero padding (cross-correlation, taps in
    row-major order), then the bias, the last of the grid's values, is added.

    Args:
        x: (N, C, H, W), floating point.
        grid: (N, G * (kernel_size**2 + 1), h, w), same device as ``x`` and, outside autocast, same dtype; channel
            ``g * (kernel_size**2 + 1) + t`` holds tap ``t`` of group ``g``. G divides C: each group of C / G
            neighbouring channels shares its kernels. H = s * h and W = s * w for one integer stride s.
        kernel_size: 1, 3 or 5. Size 1 is a scale and an offset per pixel.

    Returns:
        (N, C, H, W), dtype and device of ``x``. Sums are accumulated in float32 (float64 for float64 input).

    Raises:
        ValueError: for shapes, dtypes or a kernel size outside the contract.
    """
    if x.dtype != grid.dtype and torch.is_autocast_enabled(x.device.type):
        x, grid = x.float(), grid.float()  # pictures stay float32 where autocast makes the kernels short
    _check(x, grid, kernel_size)
    return torch.ops.malle.slice(x, grid, kernel_size)


def _check(x: Tensor, grid: Tensor, kernel_size: int) -> None:
    if kernel_size not in KERNEL_SIZES:
        raise ValueError(f"kernel_size must be one of {KERNEL_SIZES}, got {kernel_size}")
    if x.dim() != 4 or grid.dim() != 4 or x.shape[0] != grid.shape[0]:
        raise ValueError(
            f"x and grid must be (N, C, H, W) with one N, got {tuple(x.shape)} and {tuple(grid.shape)}"
        )
    if x.dtype != grid.dtype or not x.is_floating_point():
        raise ValueError(f"x and grid must share a floating point dtype, got {x.dtype} and {grid.dtype}")
    groups, rest = divmod(grid.shape[1], kernel_size**2 + 1)
    if rest or groups == 0 or x.shape[1] % groups:
        raise ValueError(
            f"grid must have G * {kernel_size**2 + 1} channels with G dividing {x.shape[1]}, got {grid.shape[1]}"
        )
    height, width = x.shape[2:]
    rows, columns = grid.shape[2:]
    if height % rows or width % columns or height // rows != width // columns:
        raise ValueError(
            f"x must be one integer stride larger than grid, got {height}x{width} over {rows}x{columns}"
        )


def _accumulator(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def _kernels(grid: Tensor, kernel_size: int, size: tuple[int, int]) -> Tensor:
    """The grid at full resolution: (N, G, kernel_size**2 + 1, H, W) in the accumulator's dtype."""
    taps = kernel_size**2 + 1
    wide = grid.to(_accumulator(grid))
    if tuple(wide.shape[2:]) != size:
        wide = F.interpolate(wide, size=size, mode="bilinear", align_corners=False)
    return wide.unflatten(1, (wide.shape[1] // taps, taps))


def slice_in_torch(x: Tensor, grid: Tensor, kernel_size: int) -> Tensor:
    """``malle_slice`` without checks and without a gradient, in torch's own operations."""
    height, width = x.shape[2:]
    kernels = _kernels(grid, kernel_size, (height, width))
    groups = kernels.shape[1]
    reach = kernel_size // 2
    # [N, G, C/G, H + 2 reach, W + 2 reach]
    padded = F.pad(x.to(kernels.dtype), (reach,) * 4).unflatten(1, (groups, x.shape[1] // groups))
    total = kernels[:, :, -1:].expand(-1, -1, x.shape[1] // groups, -1, -1).clone()
    for tap in range(kernel_size**2):
        row, column = divmod(tap, kernel_size)
        total.addcmul_(padded[..., row : row + height, column : column + width], kernels[:, :, tap : tap + 1])
    return total.flatten(1, 2).to(x.dtype)


@torch.library.custom_op("malle::slice", mutates_args=())
def _slice(x: Tensor, grid: Tensor, kernel_size: int) -> Tensor:
    return slice_in_torch(x, grid, kernel_size)


@_slice.register_fake
def _(x: Tensor, grid: Tensor, kernel_size: int) -> Tensor:
    return torch.empty_like(x)


def gradient_in_torch(
    grad: Tensor, x: Tensor, grid: Tensor, kernel_size: int, need_x: bool
) -> tuple[Tensor, Tensor]:
    """Gradients with respect to x (empty unless ``need_x``) and grid; kernels are recomputed, not kept."""
    height, width = x.shape[2:]
    reach = kernel_size // 2
    kernels = _kernels(grid, kernel_size, (height, width))
    groups, taps = kernels.shape[1:3]
    split = (groups, x.shape[1] // groups)
    wide_grad = grad.to(kernels.dtype).unflatten(1, split)
    padded = F.pad(x.to(kernels.dtype), (reach,) * 4).unflatten(1, split)
    grad_padded = torch.zeros_like(padded) if need_x else None
    grad_kernels = torch.empty_like(kernels)
    grad_kernels[:, :, -1] = wide_grad.sum(2)
    for tap in range(taps - 1):
        row, column = divmod(tap, kernel_size)
        window = (..., slice(row, row + height), slice(column, column + width))
        if split[1] == 1:
            torch.mul(padded[window], wide_grad, out=grad_kernels[:, :, tap : tap + 1])
        else:
            grad_kernels[:, :, tap] = (padded[window] * wide_grad).sum(2)
        if grad_padded is not None:
            grad_padded[window].addcmul_(wide_grad, kernels[:, :, tap : tap + 1])
    grad_grid = grad_kernels.flatten(1, 2)
    if tuple(grid.shape[2:]) != (height, width):
        grad_grid = torch.ops.aten.upsample_bilinear2d_backward(
            grad_grid, [height, width], list(grid.shape), False, None, None
        )
    if grad_padded is None:
        return x.new_empty(0), grad_grid.to(grid.dtype)
    grad_x = grad_padded.flatten(1, 2)[..., reach : reach + height, reach : reach + width]
    return grad_x.to(x.dtype).contiguous(), grad_grid.to(grid.dtype)


@torch.library.custom_op("malle::slice_backward", mutates_args=())
def _slice_backward(
    grad: Tensor, x: Tensor, grid: Tensor, kernel_size: int, need_x: bool
) -> tuple[Tensor, Tensor]:
    return gradient_in_torch(grad, x, grid, kernel_size, need_x)


@_slice_backward.register_fake
def _(grad: Tensor, x: Tensor, grid: Tensor, kernel_size: int, need_x: bool) -> tuple[Tensor, Tensor]:
    return torch.empty_like(x) if need_x else x.new_empty(0), torch.empty_like(grid)


def _save(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]  # torch's own signature
    x, grid, kernel_size = inputs
    ctx.save_for_backward(x, grid)
    ctx.kernel_size = kernel_size


def _backward(ctx, grad):  # type: ignore[no-untyped-def]
    x, grid = ctx.saved_tensors
    need_x = ctx.needs_input_grad[0]
    grad_x, grad_grid = torch.ops.malle.slice_backward(grad, x, grid, ctx.kernel_size, need_x)
    return (grad_x if need_x else None), grad_grid, None


_slice.register_autograd(_backward, setup_context=_save)
