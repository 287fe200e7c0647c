"""Networks of others: DnCNN, FFDNet, DRUNet and FastDVDnet, written down so that their authors' weights load."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from malle_rt.errors import BackendError

__all__ = ["FRAMES", "DRUNet", "DnCNN", "FFDNet", "FastDVDnet", "load_dncnn", "load_ffdnet"]


def _plain(widths: list[int]) -> nn.Sequential:
    """3x3 convolutions with rectifiers between them."""
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers[:-1])


class FFDNet(nn.Module):
    """The colour network: 12 layers of 96 channels at half resolution, told the noise level by a map."""

    def __init__(self) -> None:
        super().__init__()
        self.body = _plain([13, *[96] * 11, 12])

    def forward(self, noisy: Tensor, sigma: float) -> Tensor:
        """Denoise.

        Args:
            noisy: (N, 3, H, W) RGB, [0, 1]; any H and W.
            sigma: standard deviation of the noise, 8-bit scale.

        Returns:
            The clean picture, not clipped.
        """
        height, width = noisy.shape[2:]
        even = F.pad(noisy, (0, width % 2, 0, height % 2), mode="replicate")
        small = F.pixel_unshuffle(even, 2)
        level = small.new_full((small.shape[0], 1, *small.shape[2:]), sigma / 255)
        return F.pixel_shuffle(self.body(torch.cat((small, level), 1)), 2)[..., :height, :width]


class DnCNN(nn.Module):
    """The blind colour network: 20 layers of 64 channels at full resolution that predict the noise."""

    def __init__(self, layers: int = 20, channels: int = 3) -> None:
        super().__init__()
        self.body = _plain([channels, *[64] * (layers - 1), channels])

    def forward(self, noisy: Tensor, sigma: float = 0.0) -> Tensor:
        """Denoise (N, 3, H, W) RGB, [0, 1]; ``sigma`` is not looked at."""
        clean: Tensor = noisy - self.body(noisy)
        return clean


def load_ffdnet(weights: Path) -> FFDNet:
    """FFDNet colour with weights from a .pth file; ``BackendError`` when it does not hold them."""
    net = FFDNet()
    _fill(net, weights)
    return net


def load_dncnn(weights: Path) -> DnCNN:
    """Blind colour DnCNN with weights from a .pth file; ``BackendError`` when it does not hold them."""
    net = DnCNN()
    _fill(net, weights)
    return net


def _fill(net: nn.Module, weights: Path) -> None:
    """Take a state dict in the order of its layers, whatever their names are there."""
    saved = _state_dict(weights)
    own = net.state_dict()
    for kind in ("weight", "bias"):
        names = [name for name in own if name.endswith(kind)]
        values = [value for name, value in saved.items() if name.endswith(kind)]
        shapes = [tuple(value.shape) for value in values]
        wanted = [tuple(own[name].shape) for name in names]
        if shapes != wanted:
            raise BackendError(
                f"{weights}: not the weights of a {type(net).__name__}: it has {kind}s of {_summary(shapes)}, "
                f"wanted {_summary(wanted)}"
            )
        own |= dict(zip(names, values, strict=True))
    net.load_state_dict(own)
    net.eval().requires_grad_(False)


def _summary(shapes: list[tuple[int, ...]]) -> str:
    """One line, however many there are."""
    return f"{len(shapes)} layers ({', '.join(map(str, shapes[:2]))} ...)" if shapes else "no layer"


def _state_dict(weights: Path) -> dict[str, Tensor]:
    try:
        saved = torch.load(weights, map_location="cpu", weights_only=True)
    except Exception as exc:  # torch raises many types for damage, OSError for the rest
        reason = str(exc).partition("\n")[0]
        raise BackendError(f"cannot read weights {weights}: {reason}") from exc
    if not isinstance(saved, dict) or not all(isinstance(value, Tensor) for value in saved.values()):
        raise BackendError(f"{weights}: not a state dict of tensors by name")
    return saved


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
        self.from_quarter = _upscaled(quarter, half)
        self.from_half = _upscaled(half, full)
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


def _upscaled(coarse: int, fine: int) -> nn.Sequential:
    layers = [*_layer(coarse, coarse), *_layer(coarse, coarse), nn.Conv2d(coarse, 4 * fine, 3, padding=1)]
    return nn.Sequential(*layers, nn.PixelShuffle(2))
