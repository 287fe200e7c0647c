"""Start a large network where a small one has come to, instead of from nothing.

Chen, Goodfellow, Shlens, "Net2Net: Accelerating Learning via Knowledge Transfer", ICLR 2016, in its simplest form: the
small network's channels are the first ones of the large network's layers and hear nothing of the new ones, which are
drawn at random and join in as training opens their weights. Of the layers that only the large network has, those of
the trunk pass the old channels through, what reads an output of its own from the trunk begins with zeros, and so does
what a residual block adds.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from malle_rt.net.mallenet import InvertedBottleneck

__all__ = ["grow"]

Convolution = nn.Conv2d | nn.ConvTranspose2d


@torch.no_grad()
def grow(large: nn.Module, small: nn.Module) -> None:
    """Put the small network into the large one.

    Both are of one class, of convolutions alone. Equally deep, the large one then computes exactly what the small one
    does, and so it does with more residual blocks; a layer more, behind a leaky rectifier, costs a little of that, and
    so does a finer grid of kernels.

    Args:
        large: freshly made; changed in place.
        small: trained; no layer of it is wider or missing in ``large``.

    Raises:
        ValueError: it does not fit.
    """
    known = _convolutions(small)
    wider = _convolutions(large)
    if not known.keys() <= wider.keys():
        raise ValueError(f"the small network has layers of its own: {sorted(known.keys() - wider.keys())}")
    outputs = 0  # of the last layer that both have
    added = _added_blocks(large, small)
    for name, layer in wider.items():
        if name in known:
            _take_over(name, layer, known[name])
            outputs = known[name].out_channels
        elif name in added:
            continue
        elif layer.in_channels == layer.out_channels:
            _pass_through(layer, outputs)
        else:
            nn.init.zeros_(layer.weight)


def _convolutions(net: nn.Module) -> dict[str, Convolution]:
    return {name: each for name, each in net.named_modules() if isinstance(each, Convolution)}


def _added_blocks(large: nn.Module, small: nn.Module) -> set[str]:
    """Layers of the residual blocks that only the large network has; the last of each now gives zeros."""
    known = dict(small.named_modules())
    names: set[str] = set()
    for name, block in large.named_modules():
        if isinstance(block, InvertedBottleneck) and name not in known:
            layers = _convolutions(block)
            names |= {f"{name}.{each}" for each in layers}
            *_, last = layers.values()
            for value in last.parameters():
                nn.init.zeros_(value)
    return names


def _take_over(name: str, layer: Convolution, old: Convolution) -> None:
    """The old layer's weights, and none from the new inputs to its outputs."""
    if layer.kernel_size != old.kernel_size or layer.stride != old.stride:
        raise ValueError(f"{name}: kernel {old.kernel_size} does not fit into {layer.kernel_size}")
    target, source = _by_output(layer), _by_output(old)
    outputs, inputs = source.shape[:2]
    if target.shape[0] < outputs or target.shape[1] < inputs:
        raise ValueError(f"{name}: {tuple(source.shape)} does not fit into {tuple(target.shape)}")
    target[:outputs, :inputs] = source
    target[:outputs, inputs:] = 0
    if layer.bias is not None and old.bias is not None:
        layer.bias[:outputs] = old.bias


def _pass_through(layer: Convolution, channels: int) -> None:
    """The first channels of the input become those of the output."""
    layer.weight[:channels] = nn.init.dirac_(torch.empty_like(layer.weight))[:channels]


def _by_output(layer: Convolution) -> Tensor:
    """A view of the weights, (outputs, inputs, rows, columns)."""
    return layer.weight.transpose(0, 1) if isinstance(layer, nn.ConvTranspose2d) else layer.weight
