"""Denoisers of other people, written from their papers, to be run with their own weights.

* FFDNet: Zhang, Zuo, Zhang, "FFDNet: Toward a Fast and Flexible Solution for CNN based Image Denoising", IEEE TIP 2018.
* DnCNN: Zhang, Zuo, Chen, Meng, Zhang, "Beyond a Gaussian Denoiser", IEEE TIP 2017; batch normalisation merged into
  the convolutions, as its weights are published.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from malle_rt.errors import BackendError

__all__ = ["DnCNN", "FFDNet", "load_dncnn", "load_ffdnet"]


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
