"""Networks as calls that can be timed: in torch, and in OpenVINO with our compiled slice."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from studies.openvino_call import openvino_call
from torch import Tensor, nn

from malle_rt.backends.base import FrameShape
from malle_rt.contract import Noise
from malle_rt.models import model_names
from peerspeed.networks import Network

__all__ = ["RUNTIMES", "ready"]

RUNTIMES = ("openvino", "torch")
Call = Callable[[], object]


def ready(network: Network, runtime: str, size: tuple[int, int], threads: int) -> tuple[Call, str]:
    """Make everything ready but the call itself.

    Args:
        network: to be run.
        runtime: one of ``RUNTIMES``. In OpenVINO our video networks run as users have them: from the graph that
            ships, in int8 where this CPU is fast at it, bytes in and out. Everything else is tensor to tensor, float32.
        size: width and height, multiples of 8.
        threads: of the CPU; torch has them set for the whole process.

    Returns:
        What denoises one picture, and the precision it runs in.

    Raises:
        BackendUnavailable: OpenVINO would run the slice in slow standard operations.
    """
    if runtime == "openvino" and network.name in model_names():
        return _shipped(network.name, size, threads)
    width, height = size
    inputs = network.inputs(height, width)
    if runtime == "openvino":
        return openvino_call(network.net, inputs, threads), "fp32"
    return _in_torch(network.net, inputs), "fp32"


def _in_torch(net: nn.Module, inputs: tuple[Tensor, ...]) -> Call:
    def call() -> None:
        with torch.inference_mode():
            net(*inputs)

    return call


def _shipped(name: str, size: tuple[int, int], threads: int) -> tuple[Call, str]:
    from malle_rt.backends.openvino import OpenVinoBackend, int8_pays

    backend = OpenVinoBackend(name, threads=threads, precision="int8" if int8_pays() else "fp32")
    width, height = size
    session = backend.prepare(FrameShape(width, height))
    random = np.random.default_rng(0)
    y, u, v = (random.integers(0, 256, (height // part, width // part), np.uint8) for part in (1, 2, 2))
    state: object | None = None

    def call() -> None:
        nonlocal state
        _, state = session.run((y, u, v), Noise.white(10.0), state)

    return call, backend.info.precision
