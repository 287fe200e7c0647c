"""Networks to be timed, by name: architectures with random weights, which time does not depend on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from evaluation.drunet import DRUNet
from evaluation.fastdvdnet import FRAMES, FastDVDnet
from evaluation.peernets import DnCNN, FFDNet
from evaluation.swinir import SwinIR
from export import PortableRT, example
from stills.cost import kmac_per_pixel
from torch import Tensor, nn

from malle_rt.net.mallenet import STILLS_PRESETS, MalleNet
from malle_rt.net.rt import PRESETS, MalleNetRT, macs_per_pixel

__all__ = ["NAMES", "Network", "network"]

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
        return Network(name, PortableRT(net.folded()).eval(), _size(net), macs_per_pixel(net) / 1e3)
    plain = MalleNet(STILLS_PRESETS[name]) if name in STILLS_PRESETS else _Told(_PEERS[name]())
    plain.eval().requires_grad_(False)
    return Network(name, plain, _size(plain), kmac_per_pixel(lambda picture: plain(_frames(name, picture))))


def _frames(name: str, picture: Tensor) -> Tensor:
    """The picture as often as the network wants it."""
    return picture[:, None].expand(-1, FRAMES, -1, -1, -1) if name == "fastdvdnet" else picture


def _size(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())
