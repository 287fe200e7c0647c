"""``malle_slice`` as the ONNX node ``malle::MalleSlice``, and the export of networks that use it.

The node carries a model-local function body in standard operators, so a runtime without our kernel still
opens and runs the file (ONNX Runtime does). OpenVINO 2026.4 does not look at model-local functions: there the
node is always ours to convert, see ``malle_rt.ops.native``.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import onnx
import onnxscript
import torch
from google.protobuf.message import Message
from onnx.defs import OpSchema

import malle_rt.ops.reference  # noqa: F401  # registers torch.ops.malle.slice

__all__ = ["DOMAIN", "OPSET", "OP_TYPE", "export_onnx", "slice_function"]

log = logging.getLogger(__name__)

DOMAIN = "malle"
OP_TYPE = "MalleSlice"
OPSET = 18

# A loop over the taps: one body serves every kernel size, and no full-resolution kernels exist but those of the
# current tap. ONNX Runtime runs it as fast as the unrolled form (K=3; K=5 takes 1.4 times as long).
# Shapes in the body: x (N, G, C/G, H, W), grid (N, G, taps + 1, h, w); the bias is the loop's first value.
_FUNCTION = """
<domain: "malle", opset_import: ["" : 18]>
MalleSlice <kernel_size, plugin_namespace, plugin_version> (x, grid) => (y)
{
    size = Constant <value_int: int = @kernel_size> ()
    two = Constant <value_int = 2> ()
    one = Constant <value_ints = [1]> ()
    taps = Mul (size, size)
    taps_1d = Reshape (taps, one)
    values = Add (taps_1d, one)

    x_shape = Shape (x)
    plane = Shape <start = 2> (x)
    channels = Shape <start = 1, end = 2> (x)
    batch = Shape <start = 0, end = 1> (grid)
    grid_channels = Shape <start = 1, end = 2> (grid)
    grid_plane = Shape <start = 2> (grid)
    groups = Div (grid_channels, values)
    sharing = Div (channels, groups)
    x_split = Concat <axis = 0> (batch, groups, sharing, plane)
    grid_split = Concat <axis = 0> (batch, groups, values, grid_plane)
    fine_shape = Concat <axis = 0> (batch, groups, plane)

    x_float = Cast <to = 1> (x)
    grid_float = Cast <to = 1> (grid)
    x_grouped = Reshape (x_float, x_split)
    kernels = Reshape (grid_float, grid_split)
    reach = Div (size, two)
    sides = Constant <value_ints = [0, 0, 0, 1, 1, 0, 0, 0, 1, 1]> ()
    pads = Mul (sides, reach)
    padded = Pad (x_grouped, pads)

    plane_axes = Constant <value_ints = [3, 4]> ()
    shared_axis = Constant <value_ints = [2]> ()
    bias_coarse = Gather <axis = 2> (kernels, taps)
    bias_fine = Resize <mode = "linear", coordinate_transformation_mode = "half_pixel"> (bias_coarse, , , fine_shape)
    bias = Unsqueeze (bias_fine, shared_axis)
    start = Expand (bias, x_split)
    always = Constant <value = bool {1}> ()
    total = Loop (taps, always, start) <body = add_tap (
        int64 tap, bool go_on, float[n, g, c, height, width] sum
    ) => (bool still, float[n, g, c, height, width] next) {
        still = Identity (go_on)
        coarse = Gather <axis = 2> (kernels, tap)
        fine = Resize <mode = "linear", coordinate_transformation_mode = "half_pixel"> (coarse, , , fine_shape)
        kernel = Unsqueeze (fine, shared_axis)
        row = Div (tap, size)
        column = Mod (tap, size)
        row_1d = Reshape (row, one)
        column_1d = Reshape (column, one)
        first = Concat <axis = 0> (row_1d, column_1d)
        last = Add (first, plane)
        window = Slice (padded, first, last, plane_axes)
        product = Mul (window, kernel)
        next = Add (sum, product)
    }>
    y_float = Reshape (total, x_shape)
    y = CastLike (y_float, x)
}
"""


def slice_function() -> onnx.FunctionProto:
    """The body of ``malle::MalleSlice`` in standard operators, for float, float16 and bfloat16."""
    return onnx.parser.parse_function(_FUNCTION)


def export_onnx(
    module: torch.nn.Module,
    example_inputs: Sequence[torch.Tensor],
    path: str | os.PathLike[str],
    *,
    input_names: Sequence[str],
    output_names: Sequence[str],
    dynamic_shapes: Any = None,
) -> None:
    """Write a network as one portable, self-contained ONNX file.

    The same module gives the same bytes: neither times, machine paths nor stack traces are kept.

    Args:
        module: in eval mode; its ``malle_slice`` calls become ``malle::MalleSlice`` nodes.
        example_inputs: positional inputs to trace with, shapes within ``dynamic_shapes``.
        path: target; appears whole or not at all.
        input_names: one for each input of the graph.
        output_names: one for each output of the graph.
        dynamic_shapes: as ``torch.export.export`` takes it; None for fixed shapes.
    """
    program = torch.onnx.export(
        module,
        tuple(example_inputs),
        dynamo=True,
        input_names=list(input_names),
        output_names=list(output_names),
        dynamic_shapes=dynamic_shapes,
        opset_version=OPSET,
        custom_translation_table=_translations(),
        verbose=False,
    )
    if program is None:
        raise RuntimeError("torch.onnx.export returned no program; this needs torch 2.6 or newer")
    model = program.model_proto
    _finish(model)
    target = Path(path)
    partial = target.with_name(target.name + ".partial")
    partial.write_bytes(model.SerializeToString(deterministic=True))
    partial.replace(target)
    log.info("wrote %s: %d nodes, %d bytes", target.name, len(model.graph.node), target.stat().st_size)


def _finish(model: onnx.ModelProto) -> None:
    """Attach the function, forget where the model was made, check it."""
    _strip(model)
    model.producer_name, model.producer_version = "malle-rt", ""
    if any(node.domain == DOMAIN for node in model.graph.node):
        model.functions.append(slice_function())
        if DOMAIN not in {entry.domain for entry in model.opset_import}:
            model.opset_import.append(onnx.helper.make_opsetid(DOMAIN, 1))
    onnx.checker.check_model(model, full_check=True)


def _strip(message: Message) -> None:
    """Clear doc strings and metadata, where the exporter keeps stack traces and paths, at every depth."""
    for name in ("doc_string", "metadata_props"):
        if name in message.DESCRIPTOR.fields_by_name:
            message.ClearField(name)
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for child in [value] if isinstance(value, Message) else value:
            _strip(child)


def _translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    schema = OpSchema(
        OP_TYPE,
        DOMAIN,
        1,
        inputs=[OpSchema.FormalParameter("x", "T"), OpSchema.FormalParameter("grid", "T")],
        outputs=[OpSchema.FormalParameter("y", "T")],
        type_constraints=[("T", ["tensor(float)", "tensor(float16)", "tensor(bfloat16)"], "")],
        attributes=[
            OpSchema.Attribute("kernel_size", OpSchema.AttrType.INT, "", required=True),
            OpSchema.Attribute("plugin_namespace", OpSchema.AttrType.STRING, "", required=False),
            OpSchema.Attribute("plugin_version", OpSchema.AttrType.STRING, "", required=False),
        ],
    )
    node = onnxscript.values.Op(onnxscript.values.Opset(DOMAIN, 1), OP_TYPE, op_schema=schema)

    def translate(x: Any, grid: Any, kernel_size: int) -> Any:
        # TensorRT before 10.10 does not take the plugin's namespace from the node's domain, only from here.
        return node(x, grid, kernel_size=kernel_size, plugin_namespace=DOMAIN, plugin_version="1")

    return {torch.ops.malle.slice.default: translate}
