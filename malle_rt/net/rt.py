"""MalleNet-RT: the recurrent video denoiser on the decoder's own 4:2:0 planes.

The trunk is a thin U-Net that starts at half resolution, where the unshuffled luma meets the chroma planes. It
does not paint the picture: it predicts, for every block of 2 x 2 or 4 x 4 pixels, a kernel over the noisy frame and
one over the previous output, which ``malle_slice`` applies at full resolution; larger presets add a small direct
term. Fine texture never has to pass through the trunk, and averaging over time costs one more slice.

Nothing here can shift the brightness of a flat area, however wrong the noise level told: the taps add up to one, the
slices get no bias, and the direct term has no mean in any block of 2 x 2 pixels.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from malle_rt.net.malleconv import MalleConv, identity_kernels
from malle_rt.ops.reference import malle_slice

__all__ = [
    "PRESETS",
    "KernelPair",
    "MalleNetRT",
    "RTConfig",
    "RTState",
    "ZeroMean",
    "balanced",
    "conv_layers",
    "down_layer",
    "head",
    "keep_variance",
    "without_bias",
]

LUMA_KERNEL = 5
CHROMA_KERNEL = 3
# Inputs of about unit spread: pictures are centred and stretched, and sigma, at most 0.3, would whisper.
PICTURE_GAIN = 4.0
SIGMA_GAIN = 8.0
# Of the leaky rectifiers: with plain ones, half of the thin trunk dies in the first thousand steps.
SLOPE = 0.1
FRAME = 6  # channels of one frame at half resolution: Y unshuffled by 2, U, V


@dataclass(frozen=True, kw_only=True)
class RTConfig:
    """Size of a MalleNet-RT.

    Attributes:
        widths: channels at 1/2, 1/4 and 1/8 of the luma's resolution.
        depths: 3x3 layers at each of the three resolutions on the way down; the first one at 1/2 is the stem.
        tail: channels of the last layer, from which the output kernels are read.
        hidden: channels of the recurrent state, at 1/2.
        grid: stride of the output kernels' grid to the luma, 2 or 4.
        direct: whether the trunk also paints, a term that is added to the sliced luma.
    """

    widths: tuple[int, int, int]
    depths: tuple[int, int, int] = (1, 2, 2)
    tail: int = 32
    hidden: int = 8
    grid: int = 2
    direct: bool = True


PRESETS = {
    "rt-s": RTConfig(widths=(16, 32, 64), grid=4, direct=False),
    "rt-m": RTConfig(widths=(32, 64, 128), depths=(2, 4, 3), tail=64, hidden=16),
    # As deep as rt-m, so that it can start from its weights; wide where a weight is used most often.
    "rt-l": RTConfig(widths=(80, 96, 128), depths=(2, 4, 3), tail=80, hidden=32),
}


class RTState(NamedTuple):
    """What the network carries from frame to frame.

    Attributes:
        y: (N, 1, H, W) previous denoised luma, [0, 1].
        uv: (N, 2, H/2, W/2) previous denoised chroma, [0, 1].
        hidden: (N, hidden, H/2, W/2), in [-1, 1].
    """

    y: Tensor
    uv: Tensor
    hidden: Tensor


def conv_layers(channels: int, count: int) -> nn.Sequential:
    """So many 3x3 layers, each with its rectifier."""
    stack: list[nn.Module] = []
    for _ in range(count):
        stack += [nn.Conv2d(channels, channels, 3, padding=1), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*stack)


def down_layer(fine: int, coarse: int) -> nn.Sequential:
    """To half the resolution."""
    return nn.Sequential(nn.Conv2d(fine, coarse, 2, stride=2), nn.LeakyReLU(SLOPE))


def keep_variance(net: nn.Module) -> None:
    """He initialisation (He et al., 2015): torch's own lets the picture fade to nothing within six layers."""
    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)) and module.kernel_size != (1, 1):
            # A transposed layer of stride 2 and size 2 meets one tap of each input channel.
            transposed = isinstance(module, nn.ConvTranspose2d)
            fan_in = module.in_channels if transposed else module.weight[0].numel()
            nn.init.normal_(module.weight, std=math.sqrt(2 / ((1 + SLOPE**2) * fan_in)))
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def head(tail: int, start: Tensor) -> nn.Conv2d:
    """A 1x1 layer from ``tail`` channels that starts out near ``start``, (channels,), everywhere."""
    layer = nn.Conv2d(tail, len(start), 1)
    with torch.no_grad():
        layer.weight.mul_(0.1)
    layer.bias = nn.Parameter(start)
    return layer


class KernelPair(nn.Module):
    """Kernels over the noisy frame and over the previous output whose taps, together, sum to one everywhere.

    An unbalanced kernel multiplies the picture's brightness, a hundred times the effect of anything else it does:
    with free taps, training spends itself on their sum and the kernels never learn to follow the picture. The
    balance is linear in the layers' weights, so runtimes fold it into constants.

    The operator's bias stays zero. A learned one takes back, at the level of noise that is told, what clipping at
    black and white has shifted; told more than there is, it turned dark pictures black.

    Args:
        tail: channels the kernels are read from.
        kernel_size: of both kernels.
    """

    def __init__(self, tail: int, kernel_size: int) -> None:
        super().__init__()
        start = identity_kernels(1, kernel_size)[:-1]
        self.now = head(tail, start)
        self.before = head(tail, torch.zeros_like(start))
        self._folded = False

    def forward(self, tail: Tensor) -> tuple[Tensor, Tensor]:
        """Args: tail (N, tail, h, w). Returns two grids for ``malle_slice``, (N, kernel_size**2 + 1, h, w) each."""
        if self._folded:
            return self.now(tail), self.before(tail)
        now, before = (F.conv2d(tail, weight, bias) for weight, bias in self._layers())
        return now, before

    @torch.no_grad()
    def fold(self) -> None:
        """Write the balance into the layers, which then are plain ones: to run or to round, not to train."""
        for layer, (weight, bias) in zip((self.now, self.before), self._layers(), strict=True):
            _set(layer, weight, bias)
        self._folded = True

    def _layers(self) -> list[tuple[Tensor, Tensor]]:
        """Balanced weight and bias of both layers, with a row of zeros for the operator's own bias."""
        layers = (self.now, self.before)
        weights = balanced([layer.weight for layer in layers], total=0.0)
        biases = balanced([cast(Tensor, layer.bias) for layer in layers], total=1.0)
        return [(without_bias(w), without_bias(b)) for w, b in zip(weights, biases, strict=True)]


class ZeroMean(nn.Conv2d):
    """A term to be added to the luma at full resolution, whose mean over each block of 2 x 2 pixels is zero.

    Details finer than the kernels' grid are its business, brightness is not: left free, it made flat areas brighter
    or darker by several code values when too much noise was told.

    Args:
        tail: channels the term is read from, at half of the luma's resolution.
    """

    def __init__(self, tail: int) -> None:
        super().__init__(tail, 4, 1)
        with torch.no_grad():
            self.weight.mul_(0.1)
            cast(Tensor, self.bias).zero_()
        self._folded = False

    def forward(self, tail: Tensor) -> Tensor:
        """Args: tail (N, tail, H/2, W/2). Returns (N, 1, H, W)."""
        term = super().forward(tail) if self._folded else F.conv2d(tail, *self._centred())
        return F.pixel_shuffle(term, 2)

    @torch.no_grad()
    def fold(self) -> None:
        """As ``KernelPair.fold``."""
        _set(self, *self._centred())
        self._folded = True

    def _centred(self) -> tuple[Tensor, Tensor]:
        weight, bias = self.weight, cast(Tensor, self.bias)
        return weight - weight.mean(0, keepdim=True), bias - bias.mean()


def balanced(rows: list[Tensor], *, total: float) -> list[Tensor]:
    """Shift the taps, the rows of all tensors, evenly so that they add up to ``total``."""
    taps = torch.cat(rows)
    shift = taps.mean(0, keepdim=True) - total / len(taps)
    return [each - shift for each in rows]


def without_bias(rows: Tensor) -> Tensor:
    """Rows of a grid's taps and, below, that of a bias which is zero."""
    return torch.cat((rows, torch.zeros_like(rows[:1])))


def _set(layer: nn.Conv2d, weight: Tensor, bias: Tensor) -> None:
    """Make the layer a plain one with these values, (rows, channels, 1, 1) and (rows,)."""
    layer.out_channels = len(bias)
    layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(bias)


class MalleNetRT(nn.Module):
    """Recurrent 4:2:0 denoiser; see the module's text.

    Attributes:
        multiple: H and W of the luma must be multiples of this (8).
    """

    multiple = 8

    def __init__(self, config: RTConfig) -> None:
        super().__init__()
        self.config = config
        half, quarter, eighth = config.widths
        self.stem = nn.Sequential(
            nn.Conv2d(2 * FRAME + 1 + config.hidden, half, 3, padding=1),
            nn.LeakyReLU(SLOPE),
            conv_layers(half, config.depths[0] - 1),
        )
        self.to_quarter = down_layer(half, quarter)
        self.quarter = conv_layers(quarter, config.depths[1])
        self.to_eighth = down_layer(quarter, eighth)
        self.eighth = conv_layers(eighth, config.depths[2])
        self.from_eighth = nn.ConvTranspose2d(eighth, quarter, 2, stride=2)
        self.merge_quarter = conv_layers(quarter, 1)
        self.malle = MalleConv(half, eighth, kernel_size=3)
        self.from_quarter = nn.ConvTranspose2d(quarter, half, 2, stride=2)
        self.merge_half = conv_layers(half, 1)
        self.tail = nn.Sequential(nn.Conv2d(half, config.tail, 3, padding=1), nn.LeakyReLU(SLOPE))
        keep_variance(self)
        # One small layer per output rather than one layer and a split: runtimes copy on a channel split.
        self.luma = KernelPair(config.tail, LUMA_KERNEL)
        self.chroma = KernelPair(config.tail, CHROMA_KERNEL)
        self.direct = ZeroMean(config.tail) if config.direct else None
        self.hidden = head(config.tail, torch.zeros(config.hidden))

    def folded(self) -> MalleNetRT:
        """A copy that computes the same with fewer operations, for inference only; see ``KernelPair.fold``."""
        net = copy.deepcopy(self)
        for module in (net.luma, net.chroma, net.direct):
            if module is not None:
                module.fold()
        return net

    def first_state(self, y: Tensor, uv: Tensor) -> RTState:
        """What stands in for the past at the first frame, ``y`` and ``uv`` as for ``forward``: the frame itself."""
        n, _, height, width = uv.shape
        return RTState(y, uv, uv.new_zeros(n, self.config.hidden, height, width))

    def forward(self, y: Tensor, uv: Tensor, sigma: Tensor, state: RTState) -> tuple[Tensor, Tensor, Tensor]:
        """Denoise one frame of each of N videos.

        Args:
            y: (N, 1, H, W) noisy luma, code value / largest code value, [0, 1]; H and W multiples of ``multiple``.
            uv: (N, 2, H/2, W/2) noisy U and V, the same scale.
            sigma: (N, 1, 1, 1) standard deviation of the luma's noise, the same scale.
            state: what the previous call returned, or ``first_state(y, uv)``.

        Returns:
            Denoised y and uv, clipped to [0, 1], and the new hidden state; the three make the next ``RTState``.
        """
        tail = self.trunk(y, uv, sigma, state)
        clean_y, clean_uv = self.sliced(tail, y, uv, state)
        if self.direct is not None:
            clean_y = clean_y + self.direct(tail)
        return clean_y.clamp(0, 1), clean_uv.clamp(0, 1), torch.tanh(self.hidden(tail))

    def trunk(self, y: Tensor, uv: Tensor, sigma: Tensor, state: RTState) -> Tensor:
        """Arguments of ``forward`` to what all outputs are read from, (N, tail, H/2, W/2)."""
        stem = self.stem(self.joined(y, uv, sigma, state))
        quarter = self.quarter(self.to_quarter(stem))
        eighth = self.eighth(self.to_eighth(quarter))
        quarter = self.merge_quarter(quarter + self.from_eighth(eighth))
        half = self.merge_half(self.malle(stem, eighth) + self.from_quarter(quarter))
        tail: Tensor = self.tail(half)
        return tail

    def joined(self, y: Tensor, uv: Tensor, sigma: Tensor, state: RTState) -> Tensor:
        """Arguments of ``forward`` as the first layer's input: (N, 13 + hidden, H/2, W/2), of about unit spread."""
        noise = (SIGMA_GAIN * sigma).expand(-1, 1, *uv.shape[2:])
        pictures = torch.cat((F.pixel_unshuffle(y, 2), uv, F.pixel_unshuffle(state.y, 2), state.uv), 1)
        return torch.cat((PICTURE_GAIN * (pictures - 0.5), noise, state.hidden), 1)

    def sliced(self, tail: Tensor, y: Tensor, uv: Tensor, state: RTState) -> tuple[Tensor, Tensor]:
        """What the kernels make of this frame and of the previous output: luma and chroma, as in ``forward``."""
        if self.config.grid > 2:
            tail = F.avg_pool2d(tail, self.config.grid // 2)
        luma, luma_before = self.luma(tail)
        chroma, chroma_before = self.chroma(tail)
        clean_y = malle_slice(y, luma, LUMA_KERNEL) + malle_slice(state.y, luma_before, LUMA_KERNEL)
        clean_uv = malle_slice(uv, chroma, CHROMA_KERNEL)
        return clean_y, clean_uv + malle_slice(state.uv, chroma_before, CHROMA_KERNEL)
