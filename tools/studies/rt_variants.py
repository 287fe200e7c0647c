"""The variants: one network with one property changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from malle_rt.net.malleconv import MalleConv, identity_kernels
from malle_rt.net.rt import (
    CHROMA_KERNEL,
    LUMA_KERNEL,
    PRESETS,
    KernelPair,
    MalleNetRT,
    RTConfig,
    RTState,
    balanced,
    head,
    without_bias,
)
from malle_rt.ops.reference import malle_slice

__all__ = ["BASE", "VARIANTS", "OneBalanced", "Placed", "Variant"]

BASE = "base"
_CONFIG = RTConfig(widths=(16, 32, 64))  # what rt-s was when the study was made


class Silent(nn.Module):
    """In the place of a layer: zeros, whatever comes in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        """Args: x (N, C, H, W). Returns (N, channels, H, W)."""
        return torch.zeros_like(x[:, :1]).expand(-1, self.channels, -1, -1)


class Painted(MalleNetRT):
    """No kernels: the direct term, which chroma gets too, is the whole picture.

    It starts as mid grey: at the ends of the range the gradient stops.
    """

    start = 0.5

    def __init__(self, config: RTConfig) -> None:
        super().__init__(config)
        del self.luma, self.chroma
        painted = nn.Sequential(head(config.tail, torch.full((4,), self.start)), nn.PixelShuffle(2))
        self.direct = painted  # type: ignore[assignment]  # with a mean: here it is the picture
        self.direct_uv = head(config.tail, torch.full((2,), self.start))

    def sliced(self, tail: Tensor, y: Tensor, uv: Tensor, state: RTState) -> tuple[Tensor, Tensor]:
        """Nothing is."""
        return torch.zeros_like(y), self.direct_uv(tail)


class Residual(Painted):
    """No kernels: the direct term is what is added to the noisy picture."""

    start = 0.0

    def sliced(self, tail: Tensor, y: Tensor, uv: Tensor, state: RTState) -> tuple[Tensor, Tensor]:
        """The picture as it came."""
        return y, uv + self.direct_uv(tail)


class SmallKernels(MalleNetRT):
    """K = 3 for the luma too."""

    def __init__(self, config: RTConfig) -> None:
        super().__init__(config)
        self.luma = KernelPair(config.tail, 3)

    def sliced(self, tail: Tensor, y: Tensor, uv: Tensor, state: RTState) -> tuple[Tensor, Tensor]:
        """As ever, with smaller kernels."""
        luma, chroma = self.luma(tail), self.chroma(tail)
        return _both(y, state.y, luma, 3), _both(uv, state.uv, chroma, CHROMA_KERNEL)


class OneKernel(MalleNetRT):
    """The luma's kernels filter the chroma planes too."""

    def __init__(self, config: RTConfig) -> None:
        super().__init__(config)
        del self.chroma

    def sliced(self, tail: Tensor, y: Tensor, uv: Tensor, state: RTState) -> tuple[Tensor, Tensor]:
        """One pair of kernels for all planes."""
        kernels = self.luma(tail)
        return _both(y, state.y, kernels, LUMA_KERNEL), _both(uv, state.uv, kernels, LUMA_KERNEL)


class OwnUV(MalleNetRT):
    """Kernels of their own for U and V."""

    def __init__(self, config: RTConfig) -> None:
        super().__init__(config)
        self.chroma_v = KernelPair(config.tail, CHROMA_KERNEL)

    def sliced(self, tail: Tensor, y: Tensor, uv: Tensor, state: RTState) -> tuple[Tensor, Tensor]:
        """One pair of kernels for each plane."""
        planes = [
            _both(uv[:, i : i + 1], state.uv[:, i : i + 1], pair(tail), CHROMA_KERNEL)
            for i, pair in enumerate((self.chroma, self.chroma_v))
        ]
        return _both(y, state.y, self.luma(tail), LUMA_KERNEL), torch.cat(planes, 1)


class OneBalanced(nn.Module):
    """A kernel whose taps sum to one, as those of a ``KernelPair`` do together."""

    def __init__(self, tail: int, kernel_size: int) -> None:
        super().__init__()
        self.layer = head(tail, identity_kernels(1, kernel_size)[:-1])

    def forward(self, tail: Tensor) -> Tensor:
        """Args: tail (N, tail, h, w). Returns a grid for ``malle_slice``."""
        (weight,) = balanced([self.layer.weight], total=0.0)
        (bias,) = balanced([cast(Tensor, self.layer.bias)], total=1.0)
        return F.conv2d(tail, without_bias(weight), without_bias(bias))


class NowOnly(MalleNetRT):
    """No kernels over the previous output, which the trunk still sees."""

    def __init__(self, config: RTConfig) -> None:
        super().__init__(config)
        del self.luma, self.chroma
        self.luma_now = OneBalanced(config.tail, LUMA_KERNEL)
        self.chroma_now = OneBalanced(config.tail, CHROMA_KERNEL)

    def sliced(self, tail: Tensor, y: Tensor, uv: Tensor, state: RTState) -> tuple[Tensor, Tensor]:
        """This frame's kernels alone."""
        clean_y = malle_slice(y, self.luma_now(tail), LUMA_KERNEL)
        return clean_y, malle_slice(uv, self.chroma_now(tail), CHROMA_KERNEL)


class Placed(MalleNetRT):
    """MalleConvs elsewhere in the trunk.

    Args:
        config: as ever.
        places: some of "across_half" (where rt-s has its only one), "across_quarter" (the same, one
            level down), "merged" (at 1/2, after the way up has joined), "state" (over the hidden state, where it joins
            again).
        again: whether the hidden state joins a second time, at the end of the trunk.
    """

    def __init__(self, config: RTConfig, places: tuple[str, ...], *, again: bool = False) -> None:
        super().__init__(config)
        del self.malle
        half, quarter, eighth = config.widths
        channels = {"across_half": half, "across_quarter": quarter, "merged": half, "state": config.hidden}
        self.malles = nn.ModuleDict({each: MalleConv(channels[each], eighth) for each in places})
        self.again = nn.Conv2d(config.hidden, half, 1) if again else None

    def trunk(self, y: Tensor, uv: Tensor, sigma: Tensor, state: RTState) -> Tensor:
        """That of rt-s but for the places."""
        stem = self.stem(self.joined(y, uv, sigma, state))
        quarter = self.quarter(self.to_quarter(stem))
        eighth = self.eighth(self.to_eighth(quarter))
        quarter = self.merge_quarter(self._at("across_quarter", quarter, eighth) + self.from_eighth(eighth))
        half = self._at("across_half", stem, eighth) + self.from_quarter(quarter)
        if self.again is not None:
            half = half + self.again(self._at("state", state.hidden, eighth))
        tail: Tensor = self.tail(self.merge_half(self._at("merged", half, eighth)))
        return tail

    def _at(self, place: str, x: Tensor, context: Tensor) -> Tensor:
        found: Tensor = self.malles[place](x, context) if place in self.malles else x
        return found


def _both(plane: Tensor, before: Tensor, kernels: tuple[Tensor, Tensor], size: int) -> Tensor:
    return malle_slice(plane, kernels[0], size) + malle_slice(before, kernels[1], size)


def _forgetful(config: RTConfig) -> MalleNetRT:
    """A network whose hidden state is one channel of zeros."""
    net = MalleNetRT(replace(config, hidden=1))
    net.hidden = cast(nn.Conv2d, Silent(1))
    return net


@dataclass(frozen=True)
class Variant:
    """One network of the study.

    Attributes:
        question: that it helps to answer; the heading of its table.
        what: in a few words, what it changes.
        make: the network, with fresh weights.
    """

    question: str
    what: str
    make: Callable[[], MalleNetRT]


def _placed(*places: str, again: bool = False) -> Callable[[], MalleNetRT]:
    return lambda: Placed(_CONFIG, places, again=again)


def _with(kind: Callable[[RTConfig], MalleNetRT]) -> Callable[[], MalleNetRT]:
    return lambda: kind(_CONFIG)


def _sized(
    *, hidden: int = _CONFIG.hidden, grid: int = _CONFIG.grid, direct: bool = _CONFIG.direct
) -> Callable[[], MalleNetRT]:
    return lambda: MalleNetRT(replace(_CONFIG, hidden=hidden, grid=grid, direct=direct))


_OUTPUT, _KERNELS = "What the output is made of", "Which kernels it has"
_MEMORY, _TRUNK = "What it remembers", "Where MalleConv sits in the trunk"

VARIANTS = {
    BASE: Variant("", "", _with(MalleNetRT)),
    "painted": Variant(_OUTPUT, "the direct term alone is the picture", _with(Painted)),
    "residual": Variant(_OUTPUT, "the direct term alone, added to the noisy picture", _with(Residual)),
    "kernels-only": Variant(_OUTPUT, "kernels alone, no direct term", _sized(direct=False)),
    "luma-k3": Variant(_KERNELS, "K = 3 for the luma instead of 5", _with(SmallKernels)),
    "coarse": Variant(_KERNELS, "a grid at 1/4 instead of 1/2", _sized(grid=4)),
    "one-kernel": Variant(_KERNELS, "the luma's, K = 5, for chroma too", _with(OneKernel)),
    "own-u-v": Variant(_KERNELS, "U and V with kernels of their own", _with(OwnUV)),
    "now-only": Variant(_MEMORY, "no kernels over the previous output", _with(NowOnly)),
    "state-0": Variant(_MEMORY, "no hidden state", _with(_forgetful)),
    "state-16": Variant(_MEMORY, "a hidden state of 16 channels instead of 8", _sized(hidden=16)),
    "again": Variant(
        _MEMORY, "the state joins again where the trunk ends", _placed("across_half", again=True)
    ),
    "malle-state": Variant(
        _MEMORY, "the same, through a MalleConv", _placed("across_half", "state", again=True)
    ),
    "no-malle": Variant(_TRUNK, "none", _placed()),
    "malle-quarter": Variant(_TRUNK, "at 1/4 instead of 1/2", _placed("across_quarter")),
    "malle-merged": Variant(_TRUNK, "at 1/2, after the way up has joined", _placed("merged")),
    "malle-both": Variant(_TRUNK, "at 1/2 and at 1/4", _placed("across_half", "across_quarter")),
    "rt-s": Variant("Together", "a grid at 1/4 and no direct term", lambda: MalleNetRT(PRESETS["rt-s"])),
}
