"""Noise as cameras and decoders make it, synthesised on the device, and the step from RGB to 4:2:0 planes.

A training sequence goes: clean RGB -> noise -> Y, U, V of 4:2:0 -> 8-bit rounding -> a video encoder (a share).
Standard deviations are on the 8-bit scale (0 to 255) in every argument; tensors hold [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Encode", "NoiseMix", "Planes420", "degrade", "described", "rgb_to_planes"]

# Kr, Kb of the luma equation: ITU-R BT.601 and BT.709.
_LUMA_WEIGHTS = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}


class Planes420(NamedTuple):
    """Y (..., 1, H, W) and UV (..., 2, H/2, W/2), code value / 255."""

    y: Tensor
    uv: Tensor


Encode = Callable[[Planes420, torch.Generator], Planes420]
"""Planes of one sequence, on the 8-bit grid, to what is left of them; the generator draws how well."""


@dataclass(frozen=True, kw_only=True)
class NoiseMix:
    """How often a sequence gets which noise; what is left over stays clean.

    Attributes:
        gaussian: white, the same in every RGB channel, ``sigma`` 0 to ``rgb_sigma``.
        poisson: signal-dependent, added in linear light.
        planes: white, added to the planes themselves, chroma at a level of its own, 0 to ``plane_sigma``.
        correlated: share of noisy sequences whose noise is blurred, as demosaicing leaves it.
        encoded: share of sequences, clean ones too, whose planes go through a video encoder.
    """

    gaussian: float = 0.65
    poisson: float = 0.12
    planes: float = 0.15
    correlated: float = 0.1
    encoded: float = 0.25
    rgb_sigma: float = 65.0
    plane_sigma: float = 75.0


def rgb_to_planes(rgb: Tensor, *, matrix: str = "bt709", full_range: bool = False) -> Planes420:
    """Convert RGB to 4:2:0 planes; chroma is the mean of each 2 x 2 block.

    Args:
        rgb: (N, 3, H, W) in [0, 1], H and W even.
        matrix: "bt601" or "bt709".
        full_range: 0 to 255 instead of 16 to 235 (luma) and 16 to 240 (chroma).
    """
    red, blue = _LUMA_WEIGHTS[matrix]
    luma = red * rgb[:, 0:1] + (1 - red - blue) * rgb[:, 1:2] + blue * rgb[:, 2:3]
    u = (rgb[:, 2:3] - luma) / (2 * (1 - blue))
    v = (rgb[:, 0:1] - luma) / (2 * (1 - red))
    uv = F.avg_pool2d(torch.cat((u, v), 1), 2)
    if full_range:
        return Planes420(luma, uv + 128 / 255)
    return Planes420((16 + 219 * luma) / 255, (128 + 224 * uv) / 255)


def degrade(
    clean: Tensor, mix: NoiseMix, generator: torch.Generator, encode: Encode | None = None
) -> tuple[Planes420, Planes420, Tensor]:
    """Make noisy and clean planes of one sequence.

    Args:
        clean: (T, 3, H, W) RGB in [0, 1], on the generator's device.
        mix: how often which noise.
        generator: all randomness comes from it.
        encode: the encoder and its decoder; None: no sequence is encoded, whatever ``mix`` says.

    Returns:
        noisy planes on the 8-bit grid, clean planes, and sigma: (1,) standard deviation of the luma's noise, over
        the sequence, in [0, 1]. Of an encoded sequence it is told down to half: an encoder smooths noise away where
        it can, and what is left looks weaker than it is to whoever estimates it.
    """
    draw = torch.rand(10, generator=generator, device=clean.device).tolist()
    matrix = "bt709" if draw[0] < 0.6 else "bt601"
    full_range = draw[1] < 0.2
    target = rgb_to_planes(clean, matrix=matrix, full_range=full_range)
    white = torch.randn(clean.shape, generator=generator, device=clean.device)
    if draw[2] < mix.correlated:
        white = _blur(white, 0.4 + 0.6 * draw[3])
    kind = draw[4]
    if kind < mix.gaussian:
        noisy_rgb = clean + white * (draw[5] ** 1.5 * mix.rgb_sigma / 255)
        noisy = rgb_to_planes(noisy_rgb.clamp(0, 1), matrix=matrix, full_range=full_range)
    elif kind < mix.gaussian + mix.poisson:
        noisy_rgb = _poisson_gaussian(clean, white, shot=draw[5] ** 2 * 0.08, read=draw[6] ** 2 * 0.04)
        noisy = rgb_to_planes(noisy_rgb, matrix=matrix, full_range=full_range)
    elif kind < mix.gaussian + mix.poisson + mix.planes:
        luma_sigma = draw[5] ** 1.5 * mix.plane_sigma / 255
        chroma_sigma = luma_sigma * (0.2 + draw[6])
        half = white[:, 1:3, : clean.shape[2] // 2, : clean.shape[3] // 2]
        noisy = Planes420(target.y + white[:, :1] * luma_sigma, target.uv + half * chroma_sigma)
    else:
        noisy = target
    noisy = Planes420(*(plane.mul(255).round_().clamp_(0, 255).div_(255) for plane in noisy))
    told = 1.0
    if encode is not None and draw[7] < mix.encoded:
        noisy = encode(noisy, generator)
        told = 0.5 + 0.5 * draw[8]
    sigma = (noisy.y - target.y).square().mean().sqrt().reshape(1) * told
    return noisy, target, sigma


def described(noisy: Planes420, clean: Planes420) -> Tensor:
    """What the network is to be told of a sequence's noise, measured.

    Args:
        noisy: planes of a sequence, (T, 1, H, W) and (T, 2, H/2, W/2), H and W multiples of 4.
        clean: the same without noise.

    Returns:
        (4,): standard deviation of the luma's noise in black and in white parts, [0, 1], along a straight line through
        the darker and the brighter half of the picture; of the chroma's; coarseness, from 0 (white noise) to 1 (all of
        its variance is left in means of 4 x 4 pixels).
    """
    noise = noisy.y - clean.y
    power = noise.square().mean()
    sigma = power.sqrt()
    brightness, local = F.avg_pool2d(clean.y, 4).flatten(), F.avg_pool2d(noise.square(), 4).flatten()
    upper = brightness > brightness.median()
    ends = [sigma, sigma]
    if upper.any():
        low, high = brightness[~upper].mean(), brightness[upper].mean()
        dark, bright = local[~upper].mean().sqrt(), local[upper].mean().sqrt()
        if high - low > 0.08:
            slope = (bright - dark) / (high - low)
            ends = [dark - low * slope, dark + (1 - low) * slope]
    dark, bright = (torch.minimum(torch.maximum(end, sigma / 4), 4 * sigma) for end in ends)
    chroma = (noisy.uv - clean.uv).square().mean().sqrt()
    left = 16 * F.avg_pool2d(noise, 4).square().mean() / power.clamp(min=1e-12)
    coarse = (left.clamp(min=1e-6).log2() / 4).clamp(0, 1)
    return torch.stack((dark, bright, chroma, coarse))


def _blur(white: Tensor, spread: float) -> Tensor:
    """Gaussian-blurred noise of unit variance; ``spread`` is the kernel's standard deviation in pixels."""
    taps = torch.exp(-0.5 * (torch.arange(-2, 3, device=white.device) / spread) ** 2)
    kernel = torch.outer(taps, taps)
    kernel = (kernel / kernel.square().sum().sqrt()).expand(white.shape[1], 1, 5, 5)
    return F.conv2d(F.pad(white, (2,) * 4, mode="reflect"), kernel, groups=white.shape[1])


def _poisson_gaussian(clean: Tensor, white: Tensor, *, shot: float, read: float) -> Tensor:
    """Variance shot**2 * x + read**2 in linear light (gamma 2.2), the Gaussian limit of Poisson noise."""
    linear = clean.clamp(0, 1) ** 2.2
    noisy = linear + white * (shot**2 * linear + read**2).sqrt()
    return noisy.clamp(0, 1) ** (1 / 2.2)
