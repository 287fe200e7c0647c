import numpy as np
import onnx
import pytest
import torch
from export import INPUTS, OUTPUTS, allowed_difference, example, export, half, worst_difference, write_checked

from malle_rt.errors import BackendError
from malle_rt.net.mallenet import MalleNet, MalleNetConfig
from malle_rt.net.rt import MalleNetRT, RTConfig
from malle_rt.ops.native import load_extension
from malle_rt.vino import ov

pytestmark = pytest.mark.slow  # compiles

TINY = RTConfig(widths=(8, 8, 8), tail=8, hidden=3)


def test_the_graph_is_the_network_at_any_size_and_the_same_file_every_time(tmp_path):
    torch.manual_seed(0)
    net = MalleNetRT(TINY).eval()
    for name in ("first.onnx", "second.onnx"):
        export(net, tmp_path / name)
    assert (tmp_path / "first.onnx").read_bytes() == (tmp_path / "second.onnx").read_bytes()
    assert worst_difference(net, tmp_path / "first.onnx") < 1e-5
    core = ov.Core()
    load_extension(core)
    compiled = core.compile_model(
        core.read_model(tmp_path / "first.onnx"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    inputs = example(net, 24, 40)
    got = compiled({name: value.numpy() for name, value in zip(INPUTS, inputs, strict=True)})
    with torch.inference_mode():
        wanted = net(*inputs[:3], type(net.first_state(*inputs[:2]))(*inputs[3:]))
    for name, value in zip(OUTPUTS, wanted, strict=True):
        np.testing.assert_allclose(got[name], value.numpy(), atol=1e-5)


def test_the_float16_graph_is_float16_throughout_and_loses_no_more_than_torch_does(tmp_path):
    torch.manual_seed(0)
    net = MalleNetRT(TINY).eval()
    path = write_checked(net, "tiny", "fp16", tmp_path)
    assert path.name == "tiny.f16.onnx"
    graph = onnx.load(path).graph
    types = {value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)}
    assert types == {onnx.TensorProto.FLOAT16}
    assert not any(node.op_type == "Cast" for node in graph.node)
    assert 1e-5 < worst_difference(net, path) <= allowed_difference(net, "fp16") < 1e-2
    assert next(net.parameters()).dtype == torch.float32, "the network itself stays as it is"


def test_a_network_for_photographs_becomes_a_graph_of_any_size(tmp_path):
    torch.manual_seed(0)
    net = MalleNet(MalleNetConfig(widths=(4, 6, 8, 8), blocks=2)).eval()
    path = write_checked(net, "small", "fp16", tmp_path)
    assert 1e-6 < worst_difference(net, path) <= allowed_difference(net, "fp16") < 1e-2
    export(net, tmp_path / "small.onnx")
    assert worst_difference(net, tmp_path / "small.onnx") < 1e-5
    graph = onnx.load(path).graph
    assert [node.op_type for node in graph.node].count("MalleSlice") == 4
    assert not any(node.op_type in ("Cast", "Pad") for node in graph.node)


def test_a_graph_that_is_not_the_network_is_not_written(tmp_path, monkeypatch):
    torch.manual_seed(0)
    net, other = MalleNetRT(TINY).eval(), MalleNetRT(TINY).eval()
    monkeypatch.setattr("export.half", lambda _: half(other))
    monkeypatch.setattr("export.allowed_difference", lambda *_: 1e-3)
    with pytest.raises(BackendError, match=r"tiny.f16.onnx differs from the network by .*, more than 0.001"):
        write_checked(net, "tiny", "fp16", tmp_path)
