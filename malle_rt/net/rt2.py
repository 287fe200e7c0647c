"""MalleNet-RT, second generation: its past is moved to where it is now, and it is told what the noise is like.

Before the network runs, the previous output and the hidden state are aligned with the frame (``malle_rt.ops.motion``).
The trunk is a thin U-Net that starts at half resolution. It does not paint the picture: it predicts, for every block of
4 x 4 pixels, kernels that ``malle_slice`` applies, over two bands of the noisy frame and of the aligned past. The
*low* band are means of 4 x 4 pixels; the *fine* one is what is left without it. Kernels of the low band, 5 x 5 of these
means, reach over 20 pixels and carry the brightness; those of the fine band, whose mean is zero, cannot change it. The
taps over frame and past add up to one and there is no bias, so that no told noise level, however wrong, makes a picture
darker.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from malle_rt.net.rt import FRAME, SLOPE, RTState, balanced, conv_layers, down_layer, head, keep_variance
from malle_rt.ops.rt import CHROMA_FINE, LOW, LUMA_FINE, input_in_torch, output_in_torch

__all__ = ["PRESETS", "FoldedRT", "MalleNetRT", "RTConfig", "RTState"]

_KNOWN = 4  # planes that say what the noise is like: luma, chroma, coarseness; and how well the past fits


@dataclass(frozen=True, kw_only=True)
class RTConfig:
    """Size of a MalleNet-RT.

    Attributes:
        widths: channels at 1/2, 1/4 and 1/8 of the luma's resolution.
        depths: 3x3 layers at each of the three resolutions on the way down; the first one at 1/2 is the stem.
        tail: channels at 1/4 from which all kernels are read.
        hidden: channels of the recurrent state, at 1/2.
    """

    widths: tuple[int, int, int]
    depths: tuple[int, int, int] = (1, 2, 2)
    tail: int = 48
    hidden: int = 8


PRESETS = {
    "rt-s": RTConfig(widths=(16, 32, 64)),
    "rt-m": RTConfig(widths=(32, 64, 128), depths=(2, 4, 3), tail=96, hidden=16),
}


class KernelPair(nn.Module):
    """Kernels over one band of the noisy frame and of the past whose taps, together, sum to one everywhere.

    An unbalanced kernel multiplies the picture's brightness, a hundred times the effect of anything else it does. The
    fine band has none, but learns faster so, too. The balance is linear in the layers' weights, so runtimes fold it
    into constants.

    Args:
        tail: channels the kernels are read from.
        kernel_size: of both kernels.
    """

    def __init__(self, tail: int, kernel_size: int) -> None:
        super().__init__()
        start = torch.zeros(kernel_size**2)
        self.before = head(tail, start.clone())
        start[kernel_size**2 // 2] = 1.0
        self.now = head(tail, start)

    def layer(self) -> tuple[Tensor, Tensor]:
        """Weight (2 * kernel_size**2, tail, 1, 1) and bias of both layers, balanced."""
        layers = (self.now, self.before)
        weights = balanced([layer.weight for layer in layers], total=0.0)
        biases = balanced([cast(Tensor, layer.bias) for layer in layers], total=1.0)
        return torch.cat(weights), torch.cat(biases)


class Bands(nn.Module):
    """Kernels for the two bands of a plane, or of two alike, read from one tail.

    Args:
        tail: channels the kernels are read from.
        kernel_size: of the fine band's kernels.
    """

    def __init__(self, tail: int, kernel_size: int) -> None:
        super().__init__()
        self.fine = KernelPair(tail, kernel_size)
        self.low = KernelPair(tail, LOW)


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
            nn.Conv2d(2 * FRAME + _KNOWN + config.hidden, half, 3, padding=1),
            nn.LeakyReLU(SLOPE),
            conv_layers(half, config.depths[0] - 1),
        )
        self.to_quarter = down_layer(half, quarter)
        self.quarter = conv_layers(quarter, config.depths[1])
        self.to_eighth = down_layer(quarter, eighth)
        self.eighth = conv_layers(eighth, config.depths[2])
        self.from_eighth = nn.ConvTranspose2d(eighth, quarter, 2, stride=2)
        self.merge_quarter = conv_layers(quarter, 1)
        self.from_quarter = nn.ConvTranspose2d(quarter, half, 2, stride=2)
        self.merge_half = conv_layers(half, 1)
        self.tail = nn.Sequential(nn.Conv2d(half, config.tail, 3, stride=2, padding=1), nn.LeakyReLU(SLOPE))
        keep_variance(self)
        self.luma = Bands(config.tail, LUMA_FINE)
        self.chroma = Bands(config.tail, CHROMA_FINE)
        self.hidden = head(half, torch.zeros(config.hidden))

    def kernel_layer(self) -> tuple[Tensor, Tensor]:
        """Weight (168, tail, 1, 1) and bias of the 1x1 layer that all kernels come from, balanced."""
        pairs = (self.luma.fine, self.luma.low, self.chroma.fine, self.chroma.low)
        weights, biases = zip(*(pair.layer() for pair in pairs), strict=True)
        return torch.cat(weights), torch.cat(biases)

    def first_state(self, y: Tensor, uv: Tensor) -> RTState:
        """What stands in for the past at the first frame, ``y`` and ``uv`` as for ``forward``: the frame itself."""
        n, _, height, width = uv.shape
        return RTState(y, uv, uv.new_zeros(n, self.config.hidden, height, width))

    def forward(self, y: Tensor, uv: Tensor, noise: Tensor, state: RTState) -> tuple[Tensor, Tensor, Tensor]:
        """Denoise one frame of each of N videos.

        Args:
            y: (N, 1, H, W) noisy luma, code value / largest code value, [0, 1]; H and W multiples of ``multiple``.
            uv: (N, 2, H/2, W/2) noisy U and V, the same scale.
            noise: (N, 4, 1, 1): standard deviation of the luma's noise in black and in white parts, the same scale,
                between which it is interpolated by brightness; of the chroma's; and how coarse it is, 0 (white) to 1
                (its variance is all in means of 4 x 4 pixels).
            state: what the previous call returned, aligned with this frame; or ``first_state(y, uv)``.

        Returns:
            Denoised y and uv, clipped to [0, 1], and the new hidden state; the three make the next ``RTState``.
        """
        tail, hidden = self.trunk(input_in_torch(y, uv, noise, *state))
        kernels = F.conv2d(tail, *self.kernel_layer())
        return *output_in_torch(kernels, y, uv, state.y, state.uv), hidden

    def trunk(self, joined: Tensor) -> tuple[Tensor, Tensor]:
        """What all kernels are read from, (N, tail, H/4, W/4), and the new hidden state."""
        stem = self.stem(joined)
        quarter = self.quarter(self.to_quarter(stem))
        eighth = self.eighth(self.to_eighth(quarter))
        quarter = self.merge_quarter(quarter + self.from_eighth(eighth))
        half = self.merge_half(stem + self.from_quarter(quarter))
        return self.tail(half), torch.tanh(self.hidden(half))


class FoldedRT(nn.Module):
    """A network to run or to export, not to train: its balance folded into one layer.

    Args:
        net: copied.
        fused: whether what is not a convolution is left to the operators ``malle::rt_input`` and ``malle::rt_output``.
    """

    multiple = MalleNetRT.multiple

    def __init__(self, net: MalleNetRT, *, fused: bool = False) -> None:
        super().__init__()
        self.net = copy.deepcopy(net)
        with torch.no_grad():
            weight, bias = net.kernel_layer()
        self.kernels = nn.Conv2d(weight.shape[1], weight.shape[0], 1)
        self.kernels.weight, self.kernels.bias = nn.Parameter(weight), nn.Parameter(bias)
        for bands in ("luma", "chroma"):
            delattr(self.net, bands)
        self.input = torch.ops.malle.rt_input if fused else input_in_torch
        self.output = torch.ops.malle.rt_output if fused else output_in_torch

    def first_state(self, y: Tensor, uv: Tensor) -> RTState:
        """See ``MalleNetRT.first_state``."""
        return self.net.first_state(y, uv)

    def forward(
        self, y: Tensor, uv: Tensor, noise: Tensor, y_before: Tensor, uv_before: Tensor, hidden: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See ``MalleNetRT.forward``."""
        tail, after = self.net.trunk(self.input(y, uv, noise, y_before, uv_before, hidden))
        clean_y, clean_uv = self.output(self.kernels(tail), y, uv, y_before, uv_before)
        return clean_y, clean_uv, after
