"""The study's training: every network the same steps, the same crops, the same noise; and what comes of it."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from evaluation.stills import Still
from torch import nn
from training import autocast, psnr_loss, rate_at

from malle_rt.errors import ConfigError
from stills.backbones import Backbone, BackboneConfig
from stills.cost import kmac_per_pixel
from stills.photographs import Photographs
from stills.validation import psnr_of

__all__ = ["Book", "Plan", "seconds_per_step", "train_cell"]

PROBED = 8  # steps, of which the first half only warm up


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What all runs have in common.

    Attributes:
        steps: of every run.
        batch: crops of a step.
        size: side of a crop in pixels, a multiple of every stride.
        rate: largest learning rate.
        sigma: of the noise, in training and in the test, 8-bit scale.
        float32: compute in it even where bfloat16 would be faster.
    """

    steps: int
    batch: int = 16
    size: int = 64
    rate: float = 1e-3
    sigma: float = 25.0
    float32: bool = False


@dataclass
class Book:
    """The study's file: what has been measured so far; it is rewritten, whole, after every run.

    Attributes:
        path: of the file.
        plan: of all runs in it, as a dict.
        runs: one row per trained network: cell, seed, device and what ``train_cell`` returns.
        cells: name to configuration and arithmetic.
        times: machine and runtime to cell to ms per picture.
        material: the test's name, and how many pictures each: "test", "tested", "trained".
    """

    path: Path
    plan: dict[str, Any] = field(default_factory=dict)
    runs: list[dict[str, Any]] = field(default_factory=list)
    cells: dict[str, dict[str, Any]] = field(default_factory=dict)
    times: dict[str, dict[str, float]] = field(default_factory=dict)
    material: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Book:
        """A file of ``write``."""
        return cls(path, **json.loads(path.read_text()))

    def write(self) -> None:
        """Replace the file."""
        content = {name: value for name, value in vars(self).items() if name != "path"}
        partial = self.path.with_suffix(".partial")
        partial.write_text(json.dumps(content, indent=1) + "\n")
        partial.replace(self.path)

    def has(self, cell: str, seed: int) -> bool:
        """Whether this run is done."""
        return any((run["cell"], run["seed"]) == (cell, seed) for run in self.runs)

    def check(self, cells: dict[str, BackboneConfig]) -> None:
        """See that runs to come and runs in the file are of the same networks.

        Raises:
            ConfigError: a name of the file stands for another network now.
        """
        for name, config in cells.items():
            known = self.cells.get(name, {})
            changed = [
                f"{each} {known[each]}" for each, now in asdict(config).items() if known.get(each, now) != now
            ]
            if changed:
                raise ConfigError(
                    f"{self.path}: {name} was made with {', '.join(changed)}: begin another file"
                )

    def describe(self, cell: str, config: BackboneConfig) -> None:
        """Note a cell's configuration and arithmetic."""
        kmac = round(kmac_per_pixel(Backbone(config).eval()), 2)
        self.cells[cell] = asdict(config) | {"kmac_per_pixel": kmac}


def train_cell(
    config: BackboneConfig, plan: Plan, data: Photographs, seed: int, test: dict[str, Still]
) -> dict[str, Any]:
    """Train one network from its seed and measure it.

    Returns:
        "psnr" in dB on ``test``, None if the run diverged; "loss", the mean of the last tenth; "minutes".
    """
    device = data.noise.device
    step, net = _stepper(config, plan, data, seed)
    begun = time.monotonic()
    tail = [step(index).detach() for index in range(plan.steps)][-max(plan.steps // 10, 1) :]
    loss = float(torch.stack(tail).mean())
    minutes = (time.monotonic() - begun) / 60
    psnr = psnr_of(net.eval(), test, plan.sigma, device) if math.isfinite(loss) else None
    return {"psnr": psnr, "loss": round(loss, 3) if psnr else None, "minutes": round(minutes, 2)}


def seconds_per_step(config: BackboneConfig, plan: Plan, data: Photographs) -> float:
    """How long a step takes here, from a few that are thrown away."""
    step, _ = _stepper(config, plan, data, 0)
    for index in range(PROBED):
        if index == PROBED // 2:
            begun = time.monotonic()
        float(step(index))  # waits for the device
    return (time.monotonic() - begun) / (PROBED - PROBED // 2)


def _stepper(
    config: BackboneConfig, plan: Plan, data: Photographs, seed: int
) -> tuple[Callable[[int], torch.Tensor], nn.Module]:
    """A fresh network, and what takes its step number so and so and returns the loss."""
    drawn = data.again(seed)
    device = drawn.noise.device
    torch.manual_seed(seed)
    net = Backbone(config).to(device).train()
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
    optimizer = torch.optim.AdamW(net.parameters(), lr=plan.rate, weight_decay=1e-4)

    def step(index: int) -> torch.Tensor:
        for group in optimizer.param_groups:
            group["lr"] = plan.rate * rate_at(index / plan.steps, index)
        noisy, clean = drawn.draw(plan.batch, plan.size, (plan.sigma, plan.sigma))
        with autocast(device, float32=plan.float32):
            output = net(noisy)
        loss = psnr_loss(output.float(), clean)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        return loss

    return step, net
