"""Our operators as the ONNX nodes ``malle::MalleSlice``, ``RTInput`` and ``RTOutput``, and the export of networks.

The nodes carry model-local function bodies in standard operators, so a runtime without our kernels still
opens and runs the file (ONNX Runtime does). OpenVINO 2026.4 does not look at model-local functions: there the
nodes are always ours to convert, see ``malle_rt.ops.native``.
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

import malle_rt.ops.reference  # noqa: F401  # registers torch.ops.malle.slice, as the next rt_input and rt_output
from malle_rt.ops.rt import CHROMA_FINE, GRID, LUMA_FINE

__all__ = ["DOMAIN", "OPSET", "OP_TYPE", "export_onnx", "functions"]

log = logging.getLogger(__name__)

DOMAIN = "malle"
OP_TYPE = "MalleSlice"
OPSET = 18

# A loop over the taps: one body serves every kernel size, and no full-resolution kernels exist but those of the
# current tap. ONNX Runtime runs it as fast as the unrolled form (K=3; K=5 takes 1.4 times as long).
# Shapes in the body: x (N, G, C/G, H, W), grid (N, G, taps + 1, h, w); the bias is the loop's first value.
_SLICE = """
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


# See ``malle_rt.ops.rt.input_in_torch``.
_INPUT = """
<domain: "malle", opset_import: ["" : 18]>
RTInput (y, uv, noise, y_before, uv_before, hidden_before) => (seen)
{
    one = Constant <value_float = 1.0> ()
    picture_gain_32 = Constant <value_float = 4.0> ()
    middle_32 = Constant <value_float = 0.5> ()
    sigma_gain_32 = Constant <value_float = 8.0> ()
    misfit_gain_32 = Constant <value_float = 16.0> ()
    largest_32 = Constant <value_float = 2.0> ()
    picture_gain = CastLike (picture_gain_32, y)
    middle = CastLike (middle_32, y)
    sigma_gain = CastLike (sigma_gain_32, y)
    misfit_gain = CastLike (misfit_gain_32, y)
    largest = CastLike (largest_32, y)

    brightness = AveragePool <kernel_shape = [4, 4], strides = [4, 4]> (y)
    past = AveragePool <kernel_shape = [4, 4], strides = [4, 4]> (y_before)
    each = Constant <value_ints = [1, 1, 1, 1]> ()
    dark, bright, chroma, coarse = Split <axis = 1> (noise, each)
    rise = Sub (bright, dark)
    risen = Mul (rise, brightness)
    level = Add (dark, risen)
    luma = Mul (sigma_gain, level)
    apart = Sub (brightness, past)
    distance = Abs (apart)
    around = AveragePool <kernel_shape = [3, 3], pads = [1, 1, 1, 1], count_include_pad = 0> (distance)
    strong = Mul (misfit_gain, around)
    misfit = Min (strong, largest)
    coarse_known = Concat <axis = 1> (luma, misfit)
    twice = Constant <value_floats = [1.0, 1.0, 2.0, 2.0]> ()
    known = Resize <coordinate_transformation_mode = "asymmetric", nearest_mode = "floor"> (coarse_known, , twice)
    chroma_level = Mul (sigma_gain, chroma)
    constant = Concat <axis = 1> (chroma_level, coarse)
    uv_shape = Shape (uv)
    known_shape = Shape (constant)
    whole = Max (uv_shape, known_shape)
    everywhere = Expand (constant, whole)
    now = SpaceToDepth <blocksize = 2> (y)
    before = SpaceToDepth <blocksize = 2> (y_before)
    pictures = Concat <axis = 1> (now, uv, before, uv_before)
    centred = Sub (pictures, middle)
    stretched = Mul (picture_gain, centred)
    seen = Concat <axis = 1> (stretched, known, everywhere, hidden_before)
}
"""

# Both bands of one picture: see ``malle_rt.ops.rt``. The slices' bias, zero, is appended to the kernels. Sizes are
# written out: TensorRT's parser does not follow a function's attributes to the lists of its nodes.
_BANDS = """
<domain: "malle", opset_import: ["" : 18, "malle" : 1]>
NAME (picture, fine_kernels, low_kernels) => (fine, low)
{
    means = AveragePool <kernel_shape = [STRIDE, STRIDE], strides = [STRIDE, STRIDE]> (picture)
    scales = Constant <value_floats = [1.0, 1.0, STRIDE.0, STRIDE.0]> ()
    wide = Resize <mode = "linear", coordinate_transformation_mode = "half_pixel"> (means, , scales)
    detail = Sub (picture, wide)
    bias = Constant <value_ints = [0, 0, 0, 0, 0, 1, 0, 0]> ()
    fine_grid = Pad (fine_kernels, bias)
    fine = malle.MalleSlice <kernel_size = SIZE, plugin_namespace = "malle", plugin_version = "1"> (detail, fine_grid)
    edges = Constant <value_ints = [0, 0, 2, 2, 0, 0, 2, 2]> ()
    means_on = Pad <mode = "edge"> (means, edges)
    kernels_on = Pad <mode = "edge"> (low_kernels, edges)
    low_grid = Pad (kernels_on, bias)
    low_on = malle.MalleSlice <kernel_size = 5, plugin_namespace = "malle", plugin_version = "1"> (means_on, low_grid)
    first = Constant <value_ints = [2, 2]> ()
    last = Constant <value_ints = [-2, -2]> ()
    axes = Constant <value_ints = [2, 3]> ()
    low = Slice (low_on, first, last, axes)
}
"""


def _bands(name: str, size: int, stride: int) -> str:
    return _BANDS.replace("NAME", name).replace("STRIDE", str(stride)).replace("SIZE", str(size))


# See ``malle_rt.ops.rt.output_in_torch``.
_OUTPUT = """
<domain: "malle", opset_import: ["" : 18, "malle" : 1]>
RTOutput (kernels, y, uv, y_before, uv_before) => (y_clean, uv_clean)
{
    taps = Constant <value_ints = [25, 25, 25, 25, 9, 9, 25, 25]> ()
    a, b, c, d, e, f, g, h = Split <axis = 1> (kernels, taps)
    y_fine, y_low = malle.RTLumaBands (y, a, c)
    y_fine_past, y_low_past = malle.RTLumaBands (y_before, b, d)
    uv_fine, uv_low = malle.RTChromaBands (uv, e, g)
    uv_fine_past, uv_low_past = malle.RTChromaBands (uv_before, f, h)
    four = Constant <value_floats = [1.0, 1.0, 4.0, 4.0]> ()
    two = Constant <value_floats = [1.0, 1.0, 2.0, 2.0]> ()
    y_low_both = Add (y_low, y_low_past)
    uv_low_both = Add (uv_low, uv_low_past)
    y_wide = Resize <mode = "linear", coordinate_transformation_mode = "half_pixel"> (y_low_both, , four)
    uv_wide = Resize <mode = "linear", coordinate_transformation_mode = "half_pixel"> (uv_low_both, , two)
    y_fine_both = Add (y_fine, y_fine_past)
    uv_fine_both = Add (uv_fine, uv_fine_past)
    y_whole = Add (y_fine_both, y_wide)
    uv_whole = Add (uv_fine_both, uv_wide)
    black_32 = Constant <value_float = 0.0> ()
    white_32 = Constant <value_float = 1.0> ()
    black = CastLike (black_32, y)
    white = CastLike (white_32, y)
    y_clean = Clip (y_whole, black, white)
    uv_clean = Clip (uv_whole, black, white)
}
"""

# By the node's name: its body, and the nodes of ours that it uses.
_FUNCTIONS = {
    OP_TYPE: (_SLICE, ()),
    "RTInput": (_INPUT, ()),
    "RTLumaBands": (_bands("RTLumaBands", LUMA_FINE, GRID), (OP_TYPE,)),
    "RTChromaBands": (_bands("RTChromaBands", CHROMA_FINE, GRID // 2), (OP_TYPE,)),
    "RTOutput": (_OUTPUT, ("RTLumaBands", "RTChromaBands")),
}


def functions(*names: str) -> list[onnx.FunctionProto]:
    """Bodies of our nodes in standard operators, and of those that they use.

    Args:
        names: for example "MalleSlice" (for float, float16 and bfloat16), "RTOutput".
    """
    wanted: dict[str, None] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        wanted[name] = None
        waiting.extend(_FUNCTIONS[name][1])
    return [onnx.parser.parse_function(_FUNCTIONS[name][0]) for name in sorted(wanted)]


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
    ours = {node.op_type for node in model.graph.node if node.domain == DOMAIN}
    if ours:
        model.functions.extend(functions(*ours))
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


_SEEN_FROM = ("y", "uv", "noise", "y_before", "uv_before", "hidden_before")
_CLEAN_FROM = ("kernels", "y", "uv", "y_before", "uv_before")
_CLEAN = ("y_clean", "uv_clean")


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
    opset = onnxscript.values.Opset(DOMAIN, 1)
    node = onnxscript.values.Op(opset, OP_TYPE, op_schema=schema)
    seen = onnxscript.values.Op(opset, "RTInput", op_schema=_schema("RTInput", _SEEN_FROM, ("seen",)))
    clean = onnxscript.values.Op(opset, "RTOutput", op_schema=_schema("RTOutput", _CLEAN_FROM, _CLEAN))

    def translate(x: Any, grid: Any, kernel_size: int) -> Any:
        # TensorRT before 10.10 does not take the plugin's namespace from the node's domain, only from here.
        return node(x, grid, kernel_size=kernel_size, plugin_namespace=DOMAIN, plugin_version="1")

    return {
        torch.ops.malle.slice.default: translate,
        torch.ops.malle.rt_input.default: lambda *values: seen(*values),
        torch.ops.malle.rt_output.default: lambda *values: clean(*values),
    }


def _schema(name: str, inputs: Sequence[str], outputs: Sequence[str]) -> OpSchema:
    return OpSchema(
        name,
        DOMAIN,
        1,
        inputs=[OpSchema.FormalParameter(each, "T") for each in inputs],
        outputs=[OpSchema.FormalParameter(each, "T") for each in outputs],
        type_constraints=[("T", ["tensor(float)", "tensor(float16)", "tensor(bfloat16)"], "")],
    )
