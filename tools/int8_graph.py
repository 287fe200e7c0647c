"""A portable float graph as int8: which layers are quantised, and how the kernel heads are rounded.

ONNX Runtime's quantiser writes the QuantizeLinear and DequantizeLinear pairs. They are what OpenVINO and TensorRT
both take: signed 8 bits, every zero point 0, one scale for an activation, one per output channel for weights, and
biases in float.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

from malle_rt.ops.onnx import OP_TYPE
from malle_rt.ops.rt import KERNEL_SIZES

__all__ = ["LayerRows", "Sample", "balanced_rows", "float_layers", "kernel_pairs", "quantize_graph"]

Sample = dict[str, npt.NDArray[np.float32]]  # one value for each input of the graph
_LAYERS = ("Conv", "ConvTranspose")


class LayerRows(NamedTuple):
    """Some output channels of a layer, given by its name."""

    layer: str
    rows: slice


def quantize_graph(source: Path, target: Path, samples: Iterable[Sample]) -> None:
    """Write the int8 form of a graph; the same samples give the same bytes on the same machine.

    Args:
        source: portable float graph of a MalleNet-RT.
        target: appears whole or not at all.
        samples: inputs of single frames, whose magnitudes set the scales of the activations.
    """
    whole = onnx.load(source)
    model = _quantized(source, _quantized_layers(whole.graph), samples)
    for taps in kernel_pairs(whole.graph):
        _balance(model.graph, whole.graph, taps)
    for name in _direct_heads(whole.graph):
        _centre(model.graph, whole.graph, name)
    model.producer_name, model.producer_version = whole.producer_name, whole.producer_version
    for kept in (model.metadata_props, model.graph.value_info):
        del kept[:]
    onnx.checker.check_model(model, full_check=True)
    partial = target.with_name(target.name + ".partial")
    partial.write_bytes(model.SerializeToString(deterministic=True))
    partial.replace(target)


def float_layers(graph: onnx.GraphProto) -> list[str]:
    """Names of the layers that stay float: those that look at the pictures themselves.

    Their input mixes pictures, sigma and the hidden state, and 8 bits for all of them cost 0.1 dB. Besides,
    OpenVINO 2026.4 computes an int8 layer wrongly whose input comes straight from a Concat (signed values, zero
    point lost).
    """
    return [node.name for node, first in _layers(graph) if first]


def _quantized_layers(graph: onnx.GraphProto) -> list[str]:
    return [node.name for node, first in _layers(graph) if not first]


def _layers(graph: onnx.GraphProto) -> Iterator[tuple[onnx.NodeProto, bool]]:
    """Convolutions, and whether no other one comes before them."""
    behind: set[str] = set()  # tensors that some layer had a part in
    for node in graph.node:
        first = behind.isdisjoint(node.input)
        if node.op_type in _LAYERS:
            yield node, first
        if node.op_type in _LAYERS or not first:
            behind.update(node.output)


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # the library has no types
    """Samples in the form in which the quantiser wants them."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._samples = iter(samples)

    def get_next(self) -> Sample | None:
        """The next sample; None after the last."""
        return next(self._samples, None)


def _quantized(source: Path, layers: list[str], samples: Iterable[Sample]) -> onnx.ModelProto:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / source.name
        quantize_static(
            source,
            path,
            _Reader(samples),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(_LAYERS),
            nodes_to_quantize=layers,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            calibrate_method=CalibrationMethod.Percentile,
            # Weights of 7 bits: CPUs without VNNI add pairs of products in 16 bits, which 8 bits overflow: -2 dB.
            reduce_range=True,
            extra_options={
                # Scales that spare the rare largest values halve what int8 loses on flat, static areas.
                "CalibPercentile": 99.97,
                "ActivationSymmetric": True,
                "WeightSymmetric": True,
                "QuantizeBias": False,
                # What follows a layer is its rectifier: rounding between the two would keep them from being fused.
                "OpTypesToExcludeOutputQuantization": list(_LAYERS),
            },
        )
        return onnx.load(path)


def _makers(graph: onnx.GraphProto) -> dict[str, onnx.NodeProto]:
    return {output: node for node in graph.node for output in node.output}


def kernel_pairs(graph: onnx.GraphProto) -> list[list[LayerRows]]:
    """Rows of layers that are the taps of one ``KernelPair``, which add up to one."""
    makers = _makers(graph)
    pairs = []
    for node in graph.node:
        slices = [makers[name] for name in node.input if name in makers]
        if node.op_type == "Add" and [each.op_type for each in slices] == [OP_TYPE, OP_TYPE]:
            # The last rows are the slices' bias, and stay zero.
            pairs.append([LayerRows(makers[each.input[1]].name, slice(0, -1)) for each in slices])
        if node.op_type == "RTOutput":
            layer, ends = (
                makers[node.input[0]].name,
                np.cumsum([2 * size**2 for size in KERNEL_SIZES]).tolist(),
            )
            pairs += [[LayerRows(layer, slice(*span))] for span in pairwise((0, *ends))]
    return pairs


def _direct_heads(graph: onnx.GraphProto) -> list[str]:
    """Names of the layers whose channels become pixels: see ``ZeroMean``."""
    makers = _makers(graph)
    return [makers[node.input[0]].name for node in graph.node if node.op_type == "DepthToSpace"]


def _balance(graph: onnx.GraphProto, whole: onnx.GraphProto, taps: list[LayerRows]) -> None:
    """Round the weights of one kernel pair again, together."""
    floats, integers = _constants(whole), _constants(graph)
    layers = {node.name: node for node in whole.node}
    weights = [floats[layers[each.layer].input[1]][each.rows] for each in taps]
    layers, makers = {node.name: node for node in graph.node}, _makers(graph)
    # Of DequantizeLinear: integers, scales, zero points.
    sources = [makers[layers[each.layer].input[1]].input for each in taps]
    stored = [integers[source[0]].copy() for source in sources]
    balanced = balanced_rows(
        np.concatenate([each.reshape(len(each), -1) for each in weights]).astype(np.float64),
        np.concatenate(
            [integers[source[1]][each.rows] for source, each in zip(sources, taps, strict=True)]
        ).astype(np.float64),
        largest=max(int(np.abs(each).max()) for each in stored),
    )
    parts = np.split(balanced, np.cumsum([len(each) for each in weights])[:-1])
    for each, source, whole_layer, rows in zip(taps, sources, stored, parts, strict=True):
        whole_layer[each.rows] = rows.reshape(whole_layer[each.rows].shape)
        _store(graph, source[0], whole_layer)


def _constants(graph: onnx.GraphProto) -> dict[str, npt.NDArray[np.generic]]:
    return {each.name: numpy_helper.to_array(each) for each in graph.initializer}


def balanced_rows(
    weights: npt.NDArray[np.float64], scales: npt.NDArray[np.float64], largest: int
) -> npt.NDArray[np.int8]:
    """Round so that the sum over the rows survives.

    The taps of a kernel pair add up to one whatever the picture. Rounded one by one they no longer do, and every
    pixel's brightness is off: 0.14 dB. So each row takes over what the rows before it lost, coarse scales first.
    Half a step of the finest scale is left then, still half a code value of brightness on bright areas. Last, one row
    goes a step up and another one down, the two whose steps differ by what is left.

    Args:
        weights: (rows, channels).
        scales: (rows,) step of each row.
        largest: magnitude of the largest integer.

    Returns:
        Integers of the same shape.
    """
    rounded = np.zeros(weights.shape, np.int8)
    lost = np.zeros(weights.shape[1])
    for row in np.argsort(-scales, kind="stable"):
        wanted = weights[row] + lost
        rounded[row] = np.clip(np.rint(wanted / scales[row]), -largest, largest)
        lost = wanted - rounded[row] * scales[row]
    gained = scales[:, None] - scales[None, :]  # one step up in the first row, one down in the second
    for channel in range(weights.shape[1]):
        up = rounded[:, channel] < largest
        down = rounded[:, channel] > -largest
        left = np.where(up[:, None] & down[None, :], np.abs(lost[channel] - gained), np.inf)
        first, second = np.unravel_index(np.argmin(left), left.shape)  # the same row twice changes nothing
        rounded[first, channel] += 1
        rounded[second, channel] -= 1
    return rounded


def _centre(graph: onnx.GraphProto, whole: onnx.GraphProto, name: str) -> None:
    """Round the direct term's weights again, all four rows in steps of one size, so that their sum stays zero."""
    floats, integers = _constants(whole), _constants(graph)
    heads, makers = {node.name: node for node in graph.node}, _makers(graph)
    weights = floats[next(node for node in whole.node if node.name == name).input[1]].astype(np.float64)
    stored, scale, _ = makers[heads[name].input[1]].input
    largest = int(np.abs(integers[stored]).max())
    step = max(float(np.abs(weights).max()) / (largest - 1), float(np.finfo(np.float32).tiny))
    rows = balanced_rows(weights.reshape(len(weights), -1), np.full(len(weights), step), largest)
    _store(graph, stored, rows.reshape(weights.shape))
    _store(graph, scale, np.full(integers[scale].shape, step, np.float32))


def _store(graph: onnx.GraphProto, name: str, values: npt.NDArray[np.generic]) -> None:
    next(each for each in graph.initializer if each.name == name).CopyFrom(
        numpy_helper.from_array(values, name)
    )
