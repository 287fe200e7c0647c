"""What a picture costs in time: OpenVINO on a CPU, as users run networks there; torch on a GPU."""

from __future__ import annotations

from collections.abc import Callable

import torch
from studies.openvino_call import openvino_call
from studies.timing import fastest
from torch import nn
from yardstick.machine import cpu_name

__all__ = ["milliseconds", "runtime_name"]

HEIGHT, WIDTH = 320, 480  # about a picture of CBSD68, in multiples of every stride


def runtime_name(device: torch.device) -> str:
    """Machine, runtime and precision that ``milliseconds`` measures, in words."""
    size = f"{WIDTH}x{HEIGHT}"
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, torch, bf16, {size}"
    return f"{cpu_name()}, OpenVINO, f32, {torch.get_num_threads()} threads, {size}"


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
