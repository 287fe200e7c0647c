"""PSNR of a network on photographs, as tools/evaluate.py measures it, quickly and on any device."""

from __future__ import annotations

import numpy as np
import torch
from evaluation.stills import Still, noisy_still
from torch import nn

__all__ = ["psnr_of"]


@torch.inference_mode()
def psnr_of(net: nn.Module, pictures: dict[str, Still], sigma: float, device: torch.device) -> float:
    """Mean PSNR in dB, RGB, results rounded to 8 bits; the noise is ``evaluate.py``'s, picture for picture.

    Args:
        net: (1, 3, H, W) noisy to the same denoised, in eval mode on ``device``.
        pictures: clean ones by name.
        sigma: of the noise, 8-bit scale.
        device: where to compute.
    """
    values = []
    for seed, clean in enumerate(pictures.values()):
        output = net(noisy_still(clean, sigma, seed).to(device))
        wanted = torch.from_numpy(clean.transpose(2, 0, 1).copy()).to(device).float()
        error = (output[0].clamp(0, 1).mul(255).round() - wanted).square().mean()
        values.append(10 * np.log10(255**2 / max(float(error), 1e-9)))
    return float(np.mean(values))
