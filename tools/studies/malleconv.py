"""The study of MalleConv: every network the same steps, crops and noise; what comes of it, and its time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from evaluation.stills import Still, psnr_of
from torch import nn
from training import autocast, psnr_loss, rate_at
from trainset import Photographs

from malle_rt.measuring import processor_name
from studies.backbones import Backbone, BackboneConfig
from studies.study_file import fastest, openvino_call

__all__ = ["Plan", "milliseconds", "runtime_name", "seconds_per_step", "train_cell"]

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


HEIGHT, WIDTH = 320, 480  # about a picture of CBSD68, in multiples of every stride


def runtime_name(device: torch.device) -> str:
    """Machine, runtime and precision that ``milliseconds`` measures, in words."""
    size = f"{WIDTH}x{HEIGHT}"
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, torch, bf16, {size}"
    return f"{processor_name()}, OpenVINO, f32, {torch.get_num_threads()} threads, {size}"


def milliseconds(nets: dict[str, nn.Module], device: torch.device) -> dict[str, float]:
    """Time of a picture of 480x320, tensor to tensor, by name.

    Args:
        nets: (N, 3, H, W) to the same, in eval mode, on the CPU; they are moved to the device.
        device: the CPU means OpenVINO with our compiled slice.
    """
    picture = torch.rand(1, 3, HEIGHT, WIDTH)
    threads = torch.get_num_threads()
    return fastest(
        {
            name: _on_gpu(net, picture, device)
            if device.type == "cuda"
            else openvino_call(net, [picture], threads)
            for name, net in nets.items()
        }
    )


def _on_gpu(net: nn.Module, picture: torch.Tensor, device: torch.device) -> Callable[[], object]:
    net, picture = net.to(device, memory_format=torch.channels_last), picture.to(device)  # type: ignore[call-overload]

    def call() -> None:
        with torch.inference_mode(), torch.autocast("cuda", torch.bfloat16):
            net(picture)
        torch.cuda.synchronize(device)

    return call
