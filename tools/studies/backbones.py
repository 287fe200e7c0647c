"""Standard backbones for the study, by name: DnCNN's, with some of its convolutions replaced by MalleConvs.

Zhang, Zuo, Chen, Meng, Zhang, "Beyond a Gaussian Denoiser", IEEE TIP 2017: 3x3 convolutions at full resolution, batch
normalisation and rectifiers between them, and the noise as output.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch.nn.functional as F
from torch import Tensor, nn

from malle_rt.net.cost import kmac_per_pixel
from malle_rt.net.malleconv import MalleConv
from malle_rt.net.mallenet import InvertedBottleneck

__all__ = ["ABLATED", "SIZES", "Backbone", "BackboneConfig", "ablation", "cells", "matched"]

FOLD = 4  # side of the squares that the predictor's first layer sees


@dataclass(frozen=True, kw_only=True)
class BackboneConfig:
    """Size of a backbone.

    Attributes:
        depth: layers, the first and the last included.
        width: channels between them.
        malle: how many of the layers between are MalleConvs, spread evenly.
        kernel_size: of the MalleConvs.
        stride: of their kernel grids to the picture: 4 or a multiple.
    """

    depth: int
    width: int
    malle: int = 0
    kernel_size: int = 3
    stride: int = 8


class MalleLayer(nn.Module):
    """A MalleConv that predicts its kernels from its own input.

    Every stride has the same layers, the coarser grids an average in between, so that strides can be compared.
    """

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        width = config.width
        self.context = nn.Sequential(
            nn.Conv2d(width, width, FOLD, stride=FOLD),
            nn.ReLU(),
            nn.AvgPool2d(config.stride // FOLD),
            InvertedBottleneck(width, expand=2),
        )
        self.malle = MalleConv(width, width, kernel_size=config.kernel_size)

    def forward(self, x: Tensor) -> Tensor:
        """Args: x (N, width, H, W), sides multiples of the stride."""
        y: Tensor = self.malle(x, self.context(x))
        return y


class Backbone(nn.Module):
    """Denoiser of one noise level."""

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        self.config = config
        width, between = config.width, config.depth - 2
        replaced = {(2 * index + 1) * between // (2 * config.malle) for index in range(config.malle)}
        layers: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1), nn.ReLU()]
        for index in range(between):
            layer = (
                MalleLayer(config)
                if index in replaced
                else nn.Conv2d(width, width, 3, padding=1, bias=False)  # the normalisation has one
            )
            layers += [layer, nn.BatchNorm2d(width), nn.ReLU()]
        self.body = nn.Sequential(*layers, nn.Conv2d(width, 3, 3, padding=1))

    def forward(self, noisy: Tensor) -> Tensor:
        """Args: noisy (N, 3, H, W) RGB, any H and W. Returns the denoised picture, not clipped."""
        height, width = noisy.shape[2:]
        multiple = self.config.stride if self.config.malle else 1
        pad = (0, -width % multiple, 0, -height % multiple)
        noise = self.body(F.pad(noisy, pad, mode="replicate"))
        denoised: Tensor = noisy - noise[..., :height, :width]
        return denoised


def matched(config: BackboneConfig) -> BackboneConfig:
    """The plain backbone of the same depth whose multiply-adds come closest."""
    wanted = kmac_per_pixel(Backbone(config).eval())
    plain = [replace(config, width=width, malle=0) for width in range(4, 2 * config.width)]
    return min(plain, key=lambda each: abs(_plain_kmac(each) - wanted))


def _plain_kmac(config: BackboneConfig) -> float:
    """What ``kmac_per_pixel`` counts of a plain backbone, without building it."""
    return 9 * config.width * (2 * 3 + (config.depth - 2) * config.width) / 1e3


SIZES = {"small": BackboneConfig(depth=6, width=32), "large": BackboneConfig(depth=10, width=48)}
ABLATED = "small"


def cells() -> dict[str, BackboneConfig]:
    """What is trained, in an order that answers the first question first.

    For each size: ``plain``; ``malle``, with one of its convolutions replaced; ``matched``, plain at the cost of
    ``malle``; ``wider``, plain at a higher cost. The three plain ones make the curve that ``malle`` is read against.
    """
    made: dict[str, BackboneConfig] = {}
    for name, plain in SIZES.items():
        malle = replace(plain, malle=1)
        made[f"{name}-malle"] = malle
        made[f"{name}-matched"] = matched(malle)
        made[f"{name}-plain"] = plain
        made[f"{name}-wider"] = replace(plain, width=plain.width + 8)
    return made | {name: config for names in ablation().values() for name, config in names.items()}


def ablation() -> dict[str, dict[str, BackboneConfig]]:
    """One property changed at a time: property to cells, their common middle included."""
    plain = SIZES[ABLATED]
    base = replace(plain, malle=1)
    middle = f"{ABLATED}-malle"
    return {
        "kernel size K": {
            f"{ABLATED}-k1": replace(base, kernel_size=1),
            middle: base,
            f"{ABLATED}-k5": replace(base, kernel_size=5),
        },
        "grid stride": {
            f"{ABLATED}-s4": replace(base, stride=4),
            middle: base,
            f"{ABLATED}-s16": replace(base, stride=16),
        },
        "MalleConvs": {f"{ABLATED}-plain": plain, middle: base, f"{ABLATED}-two": replace(base, malle=2)},
    }
