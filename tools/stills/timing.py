"""What a picture costs in time: OpenVINO on a CPU, as users run networks there; torch on a GPU."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from studies.openvino_call import openvino_call
from torch import nn
from yardstick.machine import cpu_name

__all__ = ["milliseconds", "runtime_name"]

HEIGHT, WIDTH = 320, 480  # about a picture of CBSD68, in multiples of every stride
CALLS, WARM_UP = 15, 3


def runtime_name(device: torch.device) -> str:
    """Machine, runtime and precision that ``milliseconds`` measures, in words."""
    size = f"{WIDTH}x{HEIGHT}"
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, torch, bf16, {size}"
    return f"{cpu_name()}, OpenVINO, f32, {torch.get_num_threads()} threads, {size}"


def milliseconds(net: nn.Module, device: torch.device) -> float:
    """The fastest of a few calls, tensor to tensor, of one picture of 480x320: what else runs here adds least to it.

    Args:
        net: (N, 3, H, W) to the same, in eval mode, on the CPU; it is moved to the device.
        device: the CPU means OpenVINO with our compiled slice.
    """
    picture = torch.rand(1, 3, HEIGHT, WIDTH)
    if device.type == "cuda":
        call = _on_gpu(net, picture, device)
    else:
        call = openvino_call(net, [picture], torch.get_num_threads())
    times = []
    for _ in range(WARM_UP + CALLS):
        begun = time.perf_counter()
        call()
        times.append((time.perf_counter() - begun) * 1e3)
    return min(times[WARM_UP:])


def _on_gpu(net: nn.Module, picture: torch.Tensor, device: torch.device) -> Callable[[], object]:
    net, picture = net.to(device, memory_format=torch.channels_last), picture.to(device)  # type: ignore[call-overload]

    def call() -> None:
        with torch.inference_mode(), torch.autocast("cuda", torch.bfloat16):
            net(picture)
        torch.cuda.synchronize(device)

    return call
