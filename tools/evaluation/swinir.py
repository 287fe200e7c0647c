"""SwinIR for colour denoising, written from its paper to be timed; its weights are not at hand.

Liang, Cao, Sun, Zhang, Van Gool, Timofte, "SwinIR: Image Restoration Using Swin Transformer", ICCV workshops 2021: the
medium size. Layers carry the names they have in the published weights.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["SwinIR"]

WIDTH = 180
GROUPS, BLOCKS = 6, 6  # residual groups, blocks of each
HEADS = 6
WINDOW = 8
_MEAN = (0.4488, 0.4371, 0.4040)  # of DIV2K, which the network takes off its input
_FAR = -100.0  # to the softmax: not at all


class _Attention(nn.Module):
    """Self-attention within windows, with a learned bias for each offset between two pixels."""

    relative_position_index: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.relative_position_bias_table = nn.Parameter(torch.randn((2 * WINDOW - 1) ** 2, HEADS) * 0.02)
        self.register_buffer("relative_position_index", _offsets(), persistent=False)
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.proj = nn.Linear(WIDTH, WIDTH)

    def forward(self, windows: Tensor, mask: Tensor | None) -> Tensor:
        """Args: windows (N * count, pixels, WIDTH); mask (count, pixels, pixels), added, or None. Shape kept."""
        total, pixels, _ = windows.shape
        query, key, value = self.qkv(windows).view(total, pixels, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        bias = self.relative_position_bias_table[self.relative_position_index.flatten()]
        scores = (query * (WIDTH // HEADS) ** -0.5) @ key.transpose(-2, -1)
        scores = scores + bias.view(pixels, pixels, HEADS).permute(2, 0, 1)
        if mask is not None:
            scores = scores.view(-1, len(mask), HEADS, pixels, pixels) + mask[:, None]
            scores = scores.view(total, HEADS, pixels, pixels)
        mixed = (scores.softmax(-1) @ value).transpose(1, 2).reshape(total, pixels, WIDTH)
        return cast(Tensor, self.proj(mixed))


class _Mlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.fc2(F.gelu(self.fc1(x))))


class _Block(nn.Module):
    """A Swin transformer block: attention within windows, which every other block shifts by half a window."""

    def __init__(self, shift: int) -> None:
        super().__init__()
        self.shift = shift
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attn, self.mlp = _Attention(), _Mlp()

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Args: x (N, H, W, WIDTH); mask of the shifted windows, as ``_mask`` makes it. Shape kept."""
        height, width = x.shape[1:3]
        normal, shift = self.norm1(x), self.shift
        if shift:
            normal = normal.roll((-shift, -shift), (1, 2))
        mixed = _whole(self.attn(_windows(normal), mask if shift else None), height, width)
        if shift:
            mixed = mixed.roll((shift, shift), (1, 2))
        x = x + mixed
        return cast(Tensor, x + self.mlp(self.norm2(x)))


class _Blocks(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(_Block(index % 2 * (WINDOW // 2)) for index in range(BLOCKS))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x, mask)
        return x


class _Group(nn.Module):
    """A residual group: blocks, then a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.residual_group = _Blocks()
        self.conv = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        change = self.conv(self.residual_group(x, mask).permute(0, 3, 1, 2))
        return x + cast(Tensor, change).permute(0, 2, 3, 1)


class _Embedding(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)


class SwinIR(nn.Module):
    """Six residual groups at full resolution, the noise as output; trained for one noise level, which is not told."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)
        self.conv_first = nn.Conv2d(3, WIDTH, 3, padding=1)
        self.patch_embed = _Embedding()
        self.layers = nn.ModuleList(_Group() for _ in range(GROUPS))
        self.norm = nn.LayerNorm(WIDTH)
        self.conv_after_body = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
        self.conv_last = nn.Conv2d(WIDTH, 3, 3, padding=1)

    def forward(self, noisy: Tensor, sigma: float = 0.0) -> Tensor:
        """Denoise (N, 3, H, W) RGB, [0, 1], sides of at least 8; ``sigma`` is not looked at."""
        height, width = noisy.shape[2:]
        picture = F.pad(noisy, (0, -width % WINDOW, 0, -height % WINDOW), mode="reflect") - self.mean
        first = self.conv_first(picture)
        mask = _mask(*picture.shape[2:], like=picture)
        x = self.patch_embed.norm(first.permute(0, 2, 3, 1))
        for layer in self.layers:
            x = layer(x, mask)
        deep = self.conv_after_body(self.norm(x).permute(0, 3, 1, 2)) + first
        clean: Tensor = picture + self.conv_last(deep) + self.mean
        return clean[..., :height, :width]


def _offsets() -> Tensor:
    """(WINDOW**4,) row of the bias table for each pair of pixels of a window."""
    line = torch.arange(WINDOW)
    row, column = (each.flatten() for each in torch.meshgrid(line, line, indexing="ij"))
    down, right = (each[:, None] - each[None] + WINDOW - 1 for each in (row, column))
    return down * (2 * WINDOW - 1) + right


def _windows(x: Tensor) -> Tensor:
    """(N, H, W, C) as (N * count, WINDOW**2, C)."""
    count, height, width, channels = x.shape
    tiles = x.view(count, height // WINDOW, WINDOW, width // WINDOW, WINDOW, channels)
    return tiles.transpose(2, 3).reshape(-1, WINDOW**2, channels)


def _whole(windows: Tensor, height: int, width: int) -> Tensor:
    """Undo ``_windows``."""
    tiles = windows.view(-1, height // WINDOW, width // WINDOW, WINDOW, WINDOW, windows.shape[-1])
    return tiles.transpose(2, 3).reshape(-1, height, width, windows.shape[-1])


def _mask(height: int, width: int, *, like: Tensor) -> Tensor:
    """(count, WINDOW**2, WINDOW**2): keeps pixels apart that only the shift's wrap brought into one window."""
    down, right = (_region(side, like.device) for side in (height, width))
    regions = _windows((3 * down[:, None] + right[None]).view(1, height, width, 1))[..., 0]
    apart = regions[:, None, :] != regions[:, :, None]
    return apart.to(like.dtype) * _FAR


def _region(side: int, device: torch.device) -> Tensor:
    """(side,) 0 before the last window, 1 in its first half, 2 where the shift has wrapped."""
    at = torch.arange(side, device=device)
    return (at >= side - WINDOW).int() + (at >= side - WINDOW // 2).int()
