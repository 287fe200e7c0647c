"""Networks to be timed, by name, with random weights, which time does not depend on; and the calls that are timed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from evaluation.peernets import FRAMES, DnCNN, DRUNet, FastDVDnet, FFDNet
from evaluation.swinir import SwinIR
from export import PortableRT, example
from studies.study_file import openvino_call
from torch import Tensor, nn

from malle_rt.backends.base import FrameShape
from malle_rt.contract import Noise
from malle_rt.models import model_names
from malle_rt.net.cost import kmac_per_pixel, rt_kmac_per_pixel
from malle_rt.net.mallenet import STILLS_PRESETS, MalleNet
from malle_rt.net.rt import PRESETS, MalleNetRT

__all__ = ["NAMES", "RUNTIMES", "Network", "network", "ready"]

SIGMA = 25.0  # what networks that want it are told
_PEERS: dict[str, Callable[[], nn.Module]] = {
    "swinir": SwinIR,
    "drunet": DRUNet,
    "fastdvdnet": FastDVDnet,
    "dncnn": DnCNN,
    "ffdnet": FFDNet,
}
NAMES = (*_PEERS, *reversed(STILLS_PRESETS), *reversed(PRESETS))


@dataclass(frozen=True)
class Network:
    """One architecture.

    Attributes:
        name: as in ``NAMES``.
        net: takes what ``inputs`` gives; in eval mode, on the CPU.
        parameters: how many numbers it learns.
        kmac_per_pixel: thousands of multiply-adds per pixel of the picture.
    """

    name: str
    net: nn.Module
    parameters: int
    kmac_per_pixel: float

    def inputs(self, height: int, width: int) -> tuple[Tensor, ...]:
        """Random input for one picture; height and width are multiples of 8."""
        if isinstance(self.net, PortableRT):
            return example(self.net.net, height, width)
        frames = (FRAMES,) if self.name == "fastdvdnet" else ()
        return (torch.rand(1, *frames, 3, height, width, generator=torch.Generator().manual_seed(0)),)


class _Told(nn.Module):
    """A network with its noise level fixed, so that pictures are its only input."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, noisy: Tensor) -> Tensor:
        clean: Tensor = self.net(noisy, SIGMA)
        return clean


def network(name: str) -> Network:
    """Build one of ``NAMES``, weights from a fixed seed."""
    torch.manual_seed(0)
    if name in PRESETS:
        net = MalleNetRT(PRESETS[name])
        return Network(name, PortableRT(net.folded()).eval(), _size(net), rt_kmac_per_pixel(net))
    plain = MalleNet(STILLS_PRESETS[name]) if name in STILLS_PRESETS else _Told(_PEERS[name]())
    plain.eval().requires_grad_(False)
    return Network(name, plain, _size(plain), kmac_per_pixel(lambda picture: plain(_frames(name, picture))))


def _frames(name: str, picture: Tensor) -> Tensor:
    """The picture as often as the network wants it."""
    return picture[:, None].expand(-1, FRAMES, -1, -1, -1) if name == "fastdvdnet" else picture


def _size(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


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
