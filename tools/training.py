"""What every training run needs, whatever it trains: its loss, its rate, averaged weights, files that survive a cut."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

__all__ = ["append_row", "follow", "psnr_loss", "rate_at", "save_whole"]

EMA = 0.999
FLOOR = 1.5  # root mean square error on the 8-bit scale
WARM_UP = 200  # steps


def psnr_loss(output: Tensor, target: Tensor) -> Tensor:
    """Mean over pictures (..., C, H, W) of 10 log10 of each one's squared error: every noise level counts the same.

    Below the floor it levels off: the slope goes with 1 / error, and nearly clean pictures would drown the rest.
    """
    error = (output - target).square().mean((-3, -2, -1))
    return 10 * torch.log10(error + (FLOOR / 255) ** 2).mean()


def rate_at(progress: float, step: int) -> float:
    """Learning rate as a share of the largest: a cosine down to 0.5 %, after a linear warm-up.

    Args:
        progress: share of the run that is done; more than 1 counts as 1.
        step: optimiser steps so far.
    """
    cosine = 0.005 + 0.995 * 0.5 * (1 + math.cos(math.pi * min(progress, 1)))
    return cosine * min(1, (step + 1) / WARM_UP)


@torch.no_grad()
def follow(average: nn.Module, net: nn.Module, step: int) -> None:
    """Move averaged weights towards the network's; early on they follow faster.

    Args:
        average: a copy of the network, changed in place.
        net: just after an optimiser step.
        step: optimiser steps so far, this one included.
    """
    towards = get_ema_multi_avg_fn(min(EMA, step / (step + 10)))
    towards(list(average.parameters()), list(net.parameters()), step)


def save_whole(saved: dict[str, Any], path: Path) -> None:
    """``torch.save``, but the file appears whole or not at all."""
    partial = path.with_suffix(".partial")
    torch.save(saved, partial)
    partial.replace(path)


def append_row(row: dict[str, Any], path: Path) -> None:
    """Print a row of the log and add it to its file, one JSON object a line."""
    line = json.dumps(row)
    with path.open("a") as log:
        log.write(line + "\n")
    print(line, flush=True)
