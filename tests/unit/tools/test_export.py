import numpy as np
import openvino as ov
import torch
from export import INPUTS, OUTPUTS, example, export, worst_difference

from malle_rt.net.rt import MalleNetRT, RTConfig
from malle_rt.ops.native import load_extension

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
