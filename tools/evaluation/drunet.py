"""DRUNet, written from its paper to be timed; its weights are not at hand.

Zhang, Li, Zuo, Zhang, Van Gool, Timofte, "Plug-and-Play Image Restoration with Deep Denoiser Prior", IEEE TPAMI 2021.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["DRUNet"]

WIDTHS = (64, 128, 256, 512)  # at full, 1/2, 1/4 and 1/8 of the resolution
BLOCKS = 4  # residual blocks of each level, on the way down and on the way up


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.res = nn.Sequential(_conv(width, width), nn.ReLU(inplace=True), _conv(width, width))

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.res(x)
        return x + change


class DRUNet(nn.Module):
    """The colour network: a U-Net of residual blocks without biases, told the noise level by a map.

    Layers carry the names they have in the published weights.

    Attributes:
        multiple: sides are padded inside to multiples of this, and cropped again.
    """

    multiple = 8

    def __init__(self) -> None:
        super().__init__()
        full, half, quarter, eighth = WIDTHS
        self.m_head = _conv(4, full)
        self.m_down1 = nn.Sequential(*_blocks(full), nn.Conv2d(full, half, 2, stride=2, bias=False))
        self.m_down2 = nn.Sequential(*_blocks(half), nn.Conv2d(half, quarter, 2, stride=2, bias=False))
        self.m_down3 = nn.Sequential(*_blocks(quarter), nn.Conv2d(quarter, eighth, 2, stride=2, bias=False))
        self.m_body = nn.Sequential(*_blocks(eighth))
        self.m_up3 = nn.Sequential(_up(eighth, quarter), *_blocks(quarter))
        self.m_up2 = nn.Sequential(_up(quarter, half), *_blocks(half))
        self.m_up1 = nn.Sequential(_up(half, full), *_blocks(full))
        self.m_tail = _conv(full, 3)

    def forward(self, noisy: Tensor, sigma: float) -> Tensor:
        """Denoise (N, 3, H, W) RGB, [0, 1], any H and W; ``sigma`` is the noise's, 8-bit scale."""
        height, width = noisy.shape[2:]
        pad = (0, -width % self.multiple, 0, -height % self.multiple)
        picture = F.pad(noisy, pad, mode="replicate")
        level = picture.new_full((picture.shape[0], 1, *picture.shape[2:]), sigma / 255)
        full = self.m_head(torch.cat((picture, level), 1))
        half = self.m_down1(full)
        quarter = self.m_down2(half)
        eighth = self.m_down3(quarter)
        x = self.m_up3(self.m_body(eighth) + eighth)
        x = self.m_up1(self.m_up2(x + quarter) + half)
        clean: Tensor = self.m_tail(x + full)
        return clean[..., :height, :width]


def _conv(before: int, after: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, padding=1, bias=False)


def _up(coarse: int, fine: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(coarse, fine, 2, stride=2, bias=False)


def _blocks(width: int) -> list[_Residual]:
    return [_Residual(width) for _ in range(BLOCKS)]
