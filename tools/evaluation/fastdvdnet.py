"""FastDVDnet, written from its paper to be timed; its weights are not at hand.

Tassano, Delon, Veit, "FastDVDnet: Towards Real-Time Deep Video Denoising Without Flow Estimation", CVPR 2020; batch
normalisation merged into the convolutions, as whoever runs it would have it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["FRAMES", "FastDVDnet"]

FRAMES = 5  # neighbours in time, the middle one is denoised
_GROUP = 3  # frames that one block sees
_WIDTHS = (32, 64, 128)  # at full, 1/2 and 1/4 of the resolution
_PER_FRAME = 30  # channels that a frame has for itself, before frames are mixed


class _Block(nn.Module):
    """Three frames to one: a U-Net whose result is taken off the middle frame."""

    def __init__(self) -> None:
        super().__init__()
        full, half, quarter = _WIDTHS
        alone = nn.Conv2d(4 * _GROUP, _PER_FRAME * _GROUP, 3, padding=1, groups=_GROUP)
        self.enter = nn.Sequential(alone, nn.ReLU(inplace=True), *_layer(_PER_FRAME * _GROUP, full))
        self.to_half = nn.Sequential(*_layer(full, half, stride=2), *_layer(half, half), *_layer(half, half))
        self.to_quarter = nn.Sequential(
            *_layer(half, quarter, stride=2), *_layer(quarter, quarter), *_layer(quarter, quarter)
        )
        self.from_quarter = _up(quarter, half)
        self.from_half = _up(half, full)
        self.leave = nn.Sequential(*_layer(full, full), nn.Conv2d(full, 3, 3, padding=1))

    def forward(self, frames: list[Tensor], level: Tensor) -> Tensor:
        """Args: frames, three of (N, 3, H, W); level (N, 1, H, W), the noise map."""
        full = self.enter(torch.cat([part for frame in frames for part in (frame, level)], 1))
        half = self.to_half(full)
        half = half + self.from_quarter(self.to_quarter(half))
        noise: Tensor = self.leave(full + self.from_half(half))
        return frames[1] - noise


class FastDVDnet(nn.Module):
    """Two stages without motion estimation: three times three frames to three estimates, and those to one frame."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = _Block(), _Block()

    def forward(self, frames: Tensor, sigma: float) -> Tensor:
        """Denoise the middle one of five frames.

        Args:
            frames: (N, 5, 3, H, W) RGB, [0, 1]; H and W multiples of 4.
            sigma: standard deviation of the noise, 8-bit scale.

        Returns:
            (N, 3, H, W), not clipped.
        """
        count, _, _, height, width = frames.shape
        level = frames.new_full((count, 1, height, width), sigma / 255)
        every = list(frames.unbind(1))
        estimates = [self.first(every[at : at + _GROUP], level) for at in range(FRAMES - _GROUP + 1)]
        clean: Tensor = self.second(estimates, level)
        return clean


def _layer(before: int, after: int, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(before, after, 3, stride=stride, padding=1), nn.ReLU(inplace=True)]


def _up(coarse: int, fine: int) -> nn.Sequential:
    layers = [*_layer(coarse, coarse), *_layer(coarse, coarse), nn.Conv2d(coarse, 4 * fine, 3, padding=1)]
    return nn.Sequential(*layers, nn.PixelShuffle(2))
