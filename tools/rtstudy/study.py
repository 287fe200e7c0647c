"""The study's training and its yardsticks: every variant the same steps, the same sequences, the same noise."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from export import PortableRT, example
from stills.cost import kmac_per_pixel
from studies.openvino_call import openvino_call
from studies.timing import fastest
from torch import Tensor
from train import Run, denoise
from trainset import TrainSet
from yardstick.machine import cpu_name

from malle_rt.net.rt import MalleNetRT, RTState

__all__ = [
    "SIGMAS",
    "Plan",
    "kmac",
    "measure",
    "milliseconds",
    "runtime_name",
    "train_variant",
]

SIGMAS = (10, 25, 50)
HEIGHT, WIDTH = 360, 640


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What all runs have in common; names as the options of ``tools/train.py``.

    Attributes:
        steps: of every run.
        batch: sequences of a step.
        frames: of a sequence.
        chunk: frames back-propagated through at once.
        size: side of a frame in pixels.
        rate: largest learning rate.
        float32: compute in it even where bfloat16 would be faster.
    """

    steps: int
    batch: int = 4
    frames: int = 12
    chunk: int = 6
    size: int = 96
    rate: float = 1.8e-3
    float32: bool = False


class StudyRun(Run):
    """A training run that is as long as its steps, however fast the machine is."""

    def progress(self) -> float:
        """Share of the run that is done."""
        return float(self.step / self.options.steps)


def train_variant(
    make: Callable[[], MalleNetRT], plan: Plan, data: TrainSet, seed: int, checks: list[Tensor]
) -> dict[str, Any]:
    """Train one variant from its seed and measure its averaged weights.

    Returns:
        "psnr": what ``measure`` gives, by sigma, None if the run diverged; "minutes".
    """
    device = data.generator.device
    data.generator.manual_seed(seed)
    torch.manual_seed(seed)
    run = StudyRun.of(make(), argparse.Namespace(**asdict(plan)), device)
    begun = time.monotonic()
    while run.progress() < 1:
        run.one_batch(data)
    minutes = round((time.monotonic() - begun) / 60, 2)
    psnr = {str(sigma): measure(run.average, checks, sigma) for sigma in SIGMAS}
    good = all(math.isfinite(value) for planes in psnr.values() for value in planes.values())
    return {"psnr": psnr if good else None, "minutes": minutes}


def measure(net: MalleNetRT, clips: list[Tensor], sigma: float) -> dict[str, float]:
    """PSNR in dB of the last four frames, mean over clips: "y", and "uv" of both chroma planes together."""
    errors = []
    for clip in clips:
        clean, _, output = denoise(net, clip, sigma)
        pairs = zip(output, clean, strict=True)
        errors.append(torch.stack([(got[-4:] - wanted[-4:]).square().mean() for got, wanted in pairs]))
    y, uv = (-10 * torch.stack(errors).log10()).mean(0).tolist()
    return {"y": round(y, 3), "uv": round(uv, 3)}


def kmac(net: MalleNetRT) -> float:
    """Thousands of multiply-adds per luma pixel, as ``malle_rt.net.rt.macs_per_pixel`` counts them."""

    def one_frame(picture: Tensor) -> Tensor:
        y, uv = picture[:, :1], picture[:, 1:, ::2, ::2]
        clean: Tensor = net(y, uv, y.new_zeros(1, 1, 1, 1), net.first_state(y, uv))[0]
        return clean

    return kmac_per_pixel(one_frame)


def runtime_name() -> str:
    """What ``milliseconds`` measures, in words."""
    return f"{cpu_name()}, OpenVINO, f32, {torch.get_num_threads()} threads, {WIDTH}x{HEIGHT}"


def milliseconds(nets: dict[str, MalleNetRT]) -> dict[str, float]:
    """Time of a frame of 640x360 in OpenVINO, tensor to tensor, by name."""
    threads = torch.get_num_threads()
    calls = {
        name: openvino_call(
            PortableRT(net).eval(), example(net, HEIGHT, WIDTH), threads, outputs=RTState._fields
        )
        for name, net in nets.items()
    }
    return fastest(calls)
