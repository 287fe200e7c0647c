"""What every training run needs, whatever it trains.

Its loss, its rate, what it computes in, averaged weights, files that survive a cut.
"""

from __future__ import annotations

import argparse
import json
import math
import signal
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

__all__ = [
    "Stop",
    "add_computing_options",
    "append_row",
    "autocast",
    "computing",
    "follow",
    "psnr_loss",
    "rate_at",
    "save_whole",
]

EMA = 0.999
FLOOR = 1.5  # root mean square error on the 8-bit scale
WARM_UP = 200  # steps


class Stop:
    """Within it, SIGTERM and Ctrl-C only set a flag that the training loop looks at between two steps."""

    def __init__(self) -> None:
        self.signal = 0

    def __enter__(self) -> Stop:
        self._before = {each: signal.signal(each, self._note) for each in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def asked(self) -> bool:
        """Whether to stop."""
        return self.signal != 0

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = number


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


def autocast(device: torch.device, *, float32: bool = False) -> torch.autocast:
    """The context to run a network in: bfloat16 where the device computes in it, else float32; see ``computing``.

    Args:
        device: to train on.
        float32: whatever the device can do.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=not float32 and _computes_in_bfloat16(device))


def _computes_in_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for it; without any, bfloat16 is slower than float32."""
    if device.type == "cuda":
        return True
    # Older versions of torch cannot tell; they stay with float32.
    capabilities: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return device.type == "cpu" and any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))


def computing(device: torch.device, slice_name: str, *, float32: bool = False) -> str:
    """What a run computes with, for its log: "CPU, 2 threads, bfloat16, compiled slice"."""
    where = _threads() if device.type == "cpu" else torch.cuda.get_device_name(device)
    short = not float32 and _computes_in_bfloat16(device)
    return f"{where}, {'bfloat16' if short else 'float32'}, {slice_name}"


def _threads() -> str:
    count = torch.get_num_threads()
    return f"CPU, {count} thread{'s' if count > 1 else ''}"


def add_computing_options(parser: argparse.ArgumentParser) -> None:
    """Add what every training program lets its user choose: ``threads``, ``float32``, ``compiled_slice``."""
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 leaves it to torch")
    parser.add_argument(
        "--float32", action="store_true", help="compute in float32 where bfloat16 would be faster"
    )
    parser.add_argument(
        "--no-compiled-slice",
        dest="compiled_slice",
        action="store_false",
        help="on a CPU: leave malle_slice to torch, which is slower but needs no C++ compiler",
    )


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
