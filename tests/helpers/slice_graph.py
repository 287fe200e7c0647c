"""A graph of one slice, for the tests of what reads graphs: ONNX, OpenVINO, TensorRT."""

from __future__ import annotations

from pathlib import Path

import onnx

from malle_rt.ops.onnx import DOMAIN, OP_TYPE, OPSET, functions
from malle_rt.vino import ov


def slice_graph(kernel_size, x_shape, grid_shape, *, element=onnx.TensorProto.FLOAT):
    """An ONNX model of one MalleSlice node; shapes may name dimensions."""
    info = onnx.helper.make_tensor_value_info
    node = onnx.helper.make_node(
        OP_TYPE, ["x", "grid"], ["y"], domain=DOMAIN, kernel_size=kernel_size, plugin_namespace=DOMAIN
    )
    graph = onnx.helper.make_graph(
        [node],
        "slice",
        [info("x", element, x_shape), info("grid", element, grid_shape)],
        [info("y", element, x_shape)],
    )
    return onnx.helper.make_model(
        graph,
        opset_imports=[onnx.helper.make_opsetid("", OPSET), onnx.helper.make_opsetid(DOMAIN, 1)],
        functions=functions(OP_TYPE),
        ir_version=10,
    )


def save(model, folder: Path) -> Path:
    path = folder / "slice.onnx"
    onnx.save(model, path)
    return path


def compile_f32(core: ov.Core, model) -> ov.CompiledModel:
    return core.compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": 2, "INFERENCE_PRECISION_HINT": "f32"})
