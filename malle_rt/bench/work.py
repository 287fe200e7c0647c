"""What a network has to do for one frame: multiply-adds and bytes, counted from its portable graph."""

from __future__ import annotations

import math
from dataclasses import dataclass

from malle_rt.backends.base import FrameShape
from malle_rt.contract import MULTIPLE, PHOTO_MULTIPLE
from malle_rt.models import float_graph, photo_graph, photo_model_names
from malle_rt.ops.native import load_extension
from malle_rt.vino import ov

__all__ = ["Work", "count_work"]


@dataclass(frozen=True)
class Work:
    """Of one frame.

    Attributes:
        macs: multiply-adds of convolutions and slices.
        values: activations that these read and write, once each: the least that moves between layers unless
            neighbours are fused.
    """

    macs: int
    values: int


def count_work(model: str, width: int, height: int) -> Work:
    """Count a model's work on one frame.

    Raises:
        ConfigError: for a model that is not at hand.
    """
    core = ov.Core()
    load_extension(
        core
    )  # a slice is one node with it; without it, the multiplications it is made of are not counted
    if model in photo_model_names():
        graph = core.read_model(photo_graph(model))
        graph.reshape([1, 3, *FrameShape(width, height).padded(PHOTO_MULTIPLE)])
    else:
        graph = core.read_model(float_graph(model))
        _reshape(graph, *FrameShape(width, height).padded(MULTIPLE))
    counted = [_of(node) for node in graph.get_ordered_ops() if node.get_type_name() in _MACS]
    return Work(sum(work.macs for work in counted), sum(work.values for work in counted))


def _reshape(graph: ov.Model, rows: int, columns: int) -> None:
    half = (rows // 2, columns // 2)
    hidden = graph.input("hidden_before").partial_shape[1].get_length()
    sizes = {"y": (1, 1, rows, columns), "uv": (1, 2, *half), "hidden_before": (1, hidden, *half)}
    graph.reshape(sizes | {"y_before": sizes["y"], "uv_before": sizes["uv"], "sigma": (1, 1, 1, 1)})


def _of(node: ov.Node) -> Work:
    result = math.prod(node.output(0).shape)
    inputs = [math.prod(port.get_shape()) for port in node.inputs()]
    weights = list(node.input(1).get_shape())
    kind = node.get_type_name()
    if kind == "MalleSlice":
        taps = node.get_attributes()["kernel_size"] ** 2
        return Work(result * taps, sum(inputs) + result)
    if kind == "ConvolutionBackpropData":  # each input pixel is spread over the window
        return Work(inputs[0] * math.prod(weights[1:]), inputs[0] + result)
    return Work(result * math.prod(weights[1:]), inputs[0] + result)


_MACS = {"Convolution", "ConvolutionBackpropData", "MalleSlice"}
