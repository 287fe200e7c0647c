from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from helpers.slice_graph import compile_f32, save, slice_graph
from helpers.slicing import CASES, KERNEL_SIZES, draw
from torch import nn

from malle_rt.ops.decomposed import conversion_extension
from malle_rt.ops.onnx import export_onnx
from malle_rt.ops.reference import malle_slice
from malle_rt.vino import ov

# float32 sums of 26 products below 1, in any order, of kernels that are interpolated in any order.
FLOAT32_SUMS = 100 * 2**-24
DYNAMIC = ([1, "C", "H", "W"], [1, "values", "h", "w"])


def expected(x, grid, kernel_size):
    return malle_slice(torch.from_numpy(x), torch.from_numpy(grid), kernel_size).numpy()


def run_onnxruntime(model: bytes, *inputs):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]
    return session.run(None, dict(zip(names, inputs, strict=True)))[0]


@pytest.mark.parametrize("kernel_size", KERNEL_SIZES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_function_body_in_onnx_runtime(case, kernel_size):
    x, grid = draw(case, kernel_size)
    model = slice_graph(kernel_size, x.shape, grid.shape)
    onnx.checker.check_model(model, full_check=True)
    y = run_onnxruntime(model.SerializeToString(), x, grid)
    np.testing.assert_allclose(y, expected(x, grid, kernel_size), rtol=0, atol=FLOAT32_SUMS)


@pytest.mark.parametrize("kernel_size", KERNEL_SIZES)
def test_function_body_with_dynamic_shapes(kernel_size):
    model = slice_graph(kernel_size, *DYNAMIC).SerializeToString()
    for case in CASES[:3]:
        x, grid = draw(case, kernel_size, batch=1)
        y = run_onnxruntime(model, x, grid)
        np.testing.assert_allclose(y, expected(x, grid, kernel_size), rtol=0, atol=FLOAT32_SUMS)


def test_function_body_sums_float16_in_float32():
    x, grid = (array.astype(np.float16) for array in draw((4, 2, 3, 5, 8), 5))
    model = slice_graph(5, x.shape, grid.shape, element=onnx.TensorProto.FLOAT16)
    y = run_onnxruntime(model.SerializeToString(), x, grid)
    exact = expected(x.astype(np.float64), grid.astype(np.float64), 5)
    # One rounding to float16 at the end.
    assert (np.abs(y - exact) <= np.abs(exact) * np.finfo(np.float16).eps / 2 + FLOAT32_SUMS).all()


@pytest.mark.slow
@pytest.mark.parametrize("kernel_size", KERNEL_SIZES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_decomposition_in_openvino(case, kernel_size, tmp_path):
    x, grid = draw(case, kernel_size)
    core = ov.Core()
    core.add_extension(conversion_extension())
    model = core.read_model(save(slice_graph(kernel_size, x.shape, grid.shape), tmp_path))
    y = compile_f32(core, model)([x, grid])[0]
    np.testing.assert_allclose(y, expected(x, grid, kernel_size), rtol=0, atol=FLOAT32_SUMS)


def test_decomposition_with_dynamic_shapes(tmp_path):
    core = ov.Core()
    core.add_extension(conversion_extension())
    compiled = compile_f32(core, core.read_model(save(slice_graph(3, *DYNAMIC), tmp_path)))
    for case in CASES[:3]:
        x, grid = draw(case, 3, batch=1)
        np.testing.assert_allclose(compiled([x, grid])[0], expected(x, grid, 3), rtol=0, atol=FLOAT32_SUMS)


class TwoSlices(nn.Module):
    """Two sizes of kernel in one network, between convolutions, at two strides."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv2d(1, 4, 3, padding=1)
        self.coarse = nn.Conv2d(1, 2 * 10, 4, stride=4)
        self.fine = nn.Conv2d(4, 26, 2, stride=2)

    def forward(self, x):
        inner = malle_slice(torch.relu(self.enter(x)), self.coarse(x), 3)
        return malle_slice(x, self.fine(inner), 5)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    torch.manual_seed(0)
    net = TwoSlices().eval()
    path = tmp_path_factory.mktemp("export") / "two_slices.onnx"
    write(net, path)
    return net, path


def write(net, path):
    rows, columns = torch.export.Dim("rows", min=2, max=512), torch.export.Dim("columns", min=2, max=512)
    export_onnx(
        net,
        (torch.rand(1, 1, 16, 24),),
        path,
        input_names=["noisy"],
        output_names=["clean"],
        dynamic_shapes=({2: 4 * rows, 3: 4 * columns},),
    )


@pytest.mark.slow
def test_export_keeps_one_node_for_each_slice(exported):
    model = onnx.load(exported[1])
    nodes = [node for node in model.graph.node if node.op_type == "MalleSlice"]
    attributes = [
        {entry.name: onnx.helper.get_attribute_value(entry) for entry in node.attribute} for node in nodes
    ]
    plugin = {"plugin_namespace": b"malle", "plugin_version": b"1"}
    assert attributes == [{"kernel_size": 3, **plugin}, {"kernel_size": 5, **plugin}]
    assert {node.domain for node in nodes} == {"malle"}
    assert [(function.domain, function.name) for function in model.functions] == [("malle", "MalleSlice")]
    assert [value.name for value in (*model.graph.input, *model.graph.output)] == ["noisy", "clean"]


@pytest.mark.slow
def test_export_runs_at_other_sizes(exported):
    net, path = exported
    x = torch.rand(1, 1, 20, 36)
    with torch.inference_mode():
        wanted = net(x).numpy()
    np.testing.assert_allclose(run_onnxruntime(path.read_bytes(), x.numpy()), wanted, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_export_is_the_same_bytes_each_time(exported, tmp_path):
    net, path = exported
    write(net, tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == path.read_bytes()
    assert [entry.name for entry in tmp_path.iterdir()] == ["again.onnx"]


@pytest.mark.slow
def test_export_tells_nothing_of_the_machine(exported):
    _, path = exported
    model = onnx.load(path)
    assert (model.producer_name, model.producer_version) == ("malle-rt", "")
    content = path.read_bytes()
    for trace in (b".py", b"/", b"site-packages", b"pkg.torch", str(path.parent).encode()):
        assert trace not in b"".join(_texts(model)), trace
    assert b"site-packages" not in content


def _texts(message):
    """Every string of a protobuf message, at every depth."""
    for field, value in message.ListFields():
        repeated = (
            value if not isinstance(value, str | bytes | int | float) and field.is_repeated else [value]
        )
        for entry in repeated:
            if isinstance(entry, str):
                yield entry.encode()
            elif field.message_type is not None:
                yield from _texts(entry)
