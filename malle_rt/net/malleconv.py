"""MalleConv: a convolution whose kernels vary over the picture, predicted on a coarse grid.

Jiang et al., "Fast and High-Quality Image Denoising via Malleable Convolutions", ECCV 2022.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from malle_rt.ops.reference import KERNEL_SIZES, malle_slice

__all__ = ["MalleConv", "identity_kernels"]


def identity_kernels(groups: int, kernel_size: int) -> Tensor:
    """Grid values, (groups * (kernel_size**2 + 1),), that make ``malle_slice`` return its input."""
    kernel = torch.zeros(groups, kernel_size**2 + 1)
    kernel[:, kernel_size**2 // 2] = 1.0
    return kernel.flatten()


class MalleConv(nn.Module):
    """Predict kernels from coarse features and slice them onto fine ones.

    The predictor's last layer starts at the identity, so that a fresh MalleConv passes its input through.

    Args:
        channels: channels of the fine features.
        context: channels of the coarse features that the kernels are predicted from.
        kernel_size: 1, 3 or 5.
        groups: kernels per position; ``channels`` (the default) is the paper's depthwise form, fewer share kernels.
        hidden: channels of a 3x3 layer before the kernels; 0 predicts them straight from ``context``.
    """

    def __init__(
        self, channels: int, context: int, *, kernel_size: int = 3, groups: int | None = None, hidden: int = 0
    ) -> None:
        super().__init__()
        if kernel_size not in KERNEL_SIZES:
            raise ValueError(f"kernel_size must be one of {KERNEL_SIZES}, got {kernel_size}")
        self.kernel_size = kernel_size
        groups = groups or channels
        layers: list[nn.Module] = []
        if hidden:
            layers += [nn.Conv2d(context, hidden, 3, padding=1), nn.ReLU()]
        last = nn.Conv2d(hidden or context, groups * (kernel_size**2 + 1), 1)
        with torch.no_grad():
            last.weight.mul_(0.1)
            last.bias = nn.Parameter(identity_kernels(groups, kernel_size))
        self.predictor = nn.Sequential(*layers, last)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Args: x (N, C, H, W); context (N, context, H / s, W / s) for an integer s. Returns x's shape."""
        return malle_slice(x, self.predictor(context), self.kernel_size)
