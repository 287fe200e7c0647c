"""MalleNet for stills: the network of the paper.

Jiang et al., "Fast and High-Quality Image Denoising via Malleable Convolutions", ECCV 2022. A space-to-depth
pyramid of four levels, inverted-bottleneck residual blocks, a MalleConv in each level, coarse to fine, and a
residual output. The paper does not publish its sizes; the presets are ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from malle_rt.net.malleconv import MalleConv

__all__ = ["STILLS_PRESETS", "MalleNet", "MalleNetConfig"]

LEVELS = 4
GRID_STRIDE = 4  # of a level's kernel grid to the level itself
WIDEST_NEIGHBOURED = (
    4  # side of the pixel blocks that still look at their neighbours; a larger one sees enough
)


@dataclass(frozen=True, kw_only=True)
class MalleNetConfig:
    """Size of a MalleNet.

    Attributes:
        widths: channels of the levels at 1/2, 1/4, 1/8 and 1/16 of the picture.
        blocks: inverted bottlenecks in each level; the MalleConv stands in their middle.
        expand: channels inside a bottleneck, as a multiple of its width.
        kernel_size: of the MalleConvs: 1, 3 or 5.
    """

    widths: tuple[int, int, int, int]
    blocks: int
    expand: int = 2
    kernel_size: int = 3


STILLS_PRESETS = {
    "mallenet-s": MalleNetConfig(widths=(32, 48, 48, 48), blocks=2),
    "mallenet-m": MalleNetConfig(widths=(64, 64, 48, 48), blocks=4),
    "mallenet-l": MalleNetConfig(widths=(96, 64, 48, 48), blocks=6),
}


class InvertedBottleneck(nn.Module):
    """x + project(depthwise 3x3(expand(x))), shape kept."""

    def __init__(self, width: int, expand: int) -> None:
        super().__init__()
        inner = width * expand
        self.body = nn.Sequential(
            nn.Conv2d(width, inner, 1),
            nn.ReLU(),
            nn.Conv2d(inner, inner, 3, padding=1, groups=inner),
            nn.ReLU(),
            nn.Conv2d(inner, width, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Args: x (N, width, H, W)."""
        body: Tensor = self.body(x)
        return x + body


class Level(nn.Module):
    """One level of the pyramid: its own view of the picture, joined by what the coarser level found."""

    def __init__(self, level: int, config: MalleNetConfig) -> None:
        super().__init__()
        width = config.widths[level]
        self.factor = 2 ** (level + 1)
        side = 3 if self.factor <= WIDEST_NEIGHBOURED else 1
        self.enter = nn.Conv2d(3 * self.factor**2, width, side, padding=side // 2)
        self.join = (
            nn.ConvTranspose2d(config.widths[level + 1], width, 2, stride=2) if level + 1 < LEVELS else None
        )
        half = config.blocks // 2
        self.before = nn.Sequential(*(InvertedBottleneck(width, config.expand) for _ in range(half)))
        self.context = nn.Sequential(
            nn.AvgPool2d(GRID_STRIDE),
            nn.Conv2d(width, width, 1),
            nn.ReLU(),
            InvertedBottleneck(width, config.expand),
        )
        self.malle = MalleConv(width, width, kernel_size=config.kernel_size)
        self.after = nn.Sequential(
            *(InvertedBottleneck(width, config.expand) for _ in range(config.blocks - half))
        )

    def forward(self, picture: Tensor, coarser: Tensor | None) -> Tensor:
        """Args: picture (N, 3, H, W); coarser (N, width of the level below, H / 2f, W / 2f) or None."""
        x = self.enter(F.pixel_unshuffle(picture, self.factor))
        if self.join is not None:
            x = x + self.join(coarser)
        x = self.before(x)
        found: Tensor = self.after(self.malle(x, self.context(x)))
        return found


class MalleNet(nn.Module):
    """Blind denoiser for RGB stills.

    Attributes:
        multiple: sides are padded inside to multiples of this, and cropped again.
    """

    multiple = 2**LEVELS * GRID_STRIDE

    def __init__(self, config: MalleNetConfig) -> None:
        super().__init__()
        self.config = config
        self.levels = nn.ModuleList(Level(level, config) for level in range(LEVELS))
        self.leave = nn.Conv2d(config.widths[0], 3 * 4, 3, padding=1)

    def forward(self, noisy: Tensor) -> Tensor:
        """Args: noisy (N, 3, H, W) RGB in [0, 1], any H and W. Returns the denoised picture, not clipped."""
        height, width = noisy.shape[2:]
        pad = (0, -width % self.multiple, 0, -height % self.multiple)
        picture = F.pad(noisy, pad, mode="replicate")
        return noisy - self.noise(picture)[..., :height, :width]

    def noise(self, picture: Tensor) -> Tensor:
        """What is to be taken away. Args: picture (N, 3, H, W), H and W multiples of ``multiple``. Same shape."""
        x: Tensor | None = None
        for level in reversed(self.levels):
            x = level(picture, x)
        return F.pixel_shuffle(self.leave(x), 2)
