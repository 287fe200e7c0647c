"""What MalleNet-RT does beside its convolutions, on the CPU and as standard operators, against torch."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F

from malle_rt.ops.motion import find_motion, move
from malle_rt.ops.native import align_node, extension_path, load_extension
from malle_rt.ops.onnx import DOMAIN, OPSET, functions
from malle_rt.ops.rt import KERNEL_CHANNELS, input_in_torch, output_in_torch
from malle_rt.vino import opset13 as op
from malle_rt.vino import ov

needs_extension = pytest.mark.skipif(extension_path() is None, reason="libmalle_openvino.so was not built")
SEEN = ("y", "uv", "noise", "y_before", "uv_before", "hidden_before")
CLEAN = ("kernels", "y", "uv", "y_before", "uv_before")
# One block, one row, one column, widths on both sides of what the compiled kernel takes at once (16 and 32 cells).
SIZES = [(8, 8), (8, 72), (40, 8), (48, 56), (24, 128), (32, 136), (64, 264)]


def planes(height, width, hidden=3, batch=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    y, y_before = torch.rand(2, batch, 1, height, width, generator=generator)
    uv, uv_before = torch.rand(2, batch, 2, height // 2, width // 2, generator=generator)
    noise = torch.tensor([[0.02, 0.09, 0.05, 0.4], [0.3, 0.1, 0.0, 1.0]])[:batch].view(batch, 4, 1, 1)
    state = torch.rand(batch, hidden, height // 2, width // 2, generator=generator)
    kernels = torch.rand(batch, KERNEL_CHANNELS, height // 4, width // 4, generator=generator) / 25 - 0.015
    values = {"y": y, "uv": uv, "noise": noise, "y_before": y_before, "uv_before": uv_before}
    return values | {"hidden_before": state, "kernels": kernels}


def wanted_of(name, values):
    if name == "RTInput":
        return [input_in_torch(*(values[each] for each in SEEN))]
    return list(output_in_torch(*(values[each] for each in CLEAN)))


def graph_of(name, values):
    """A model of one node, and the names of its inputs."""
    inputs, outputs = (SEEN, ("seen",)) if name == "RTInput" else (CLEAN, ("y_clean", "uv_clean"))
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node(name, inputs, outputs, domain=DOMAIN)],
        name,
        [info(each, onnx.TensorProto.FLOAT, values[each].shape) for each in inputs],
        [info(each, onnx.TensorProto.FLOAT, None) for each in outputs],
    )
    opsets = [onnx.helper.make_opsetid("", OPSET), onnx.helper.make_opsetid(DOMAIN, 1)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, functions=functions(name), ir_version=10)
    return model.SerializeToString(), inputs


def check(got, wanted):
    for one, other in zip(got, wanted, strict=True):
        np.testing.assert_allclose(one, other.numpy(), rtol=0, atol=2e-6)


@pytest.mark.parametrize("name", ["RTInput", "RTOutput"])
@pytest.mark.parametrize("size", [(8, 8), (48, 56)], ids=str)
def test_function_bodies_agree_with_torch(name, size):
    values = planes(*size)
    model, inputs = graph_of(name, values)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    check(session.run(None, {each: values[each].numpy() for each in inputs}), wanted_of(name, values))


@needs_extension
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("name", ["RTInput", "RTOutput"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_compiled_operators_agree_with_torch(name, size, batch):
    values = planes(*size, batch=batch)
    model, inputs = graph_of(name, values)
    core = ov.Core()
    assert load_extension(core)
    compiled = core.compile_model(core.read_model(model), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    results = compiled({each: values[each].numpy() for each in inputs})
    check([results[port] for port in compiled.outputs], wanted_of(name, values))


def test_what_clips_is_clipped_and_flat_pictures_keep_their_level():
    values = planes(16, 16)
    values |= {each: torch.full_like(values[each], 0.25) for each in ("y", "uv", "y_before", "uv_before")}
    kernels = torch.zeros(1, KERNEL_CHANNELS, 4, 4)
    kernels[:, 50:100] = kernels[:, 118:] = 1 / 50  # both low bands: means over frame and past
    clean = output_in_torch(kernels, *(values[each] for each in CLEAN[1:]))
    for plane in clean:
        torch.testing.assert_close(plane, torch.full_like(plane, 0.25))
    clean = output_in_torch(kernels * 9, *(values[each] for each in CLEAN[1:]))
    assert all((plane == 1).all() for plane in clean)


@needs_extension
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("whole", [False, True])
def test_the_compiled_search_finds_and_moves_what_torch_does(size, whole):
    height, width = size
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 1, -(-(height + 40) // 5), -(-(width + 40) // 5), generator=generator)
    scene = F.interpolate(coarse, size=(height + 40, width + 40), mode="bicubic").clamp(0, 1)
    noise = torch.randn(1, 1, height, width, generator=generator) * 0.04
    y = (scene[..., 20 : 20 + height, 20 : 20 + width] + noise).clamp(0, 1)
    y = y.mul(255).round() / 255
    values = planes(height, width)
    between = 0.7 * scene + 0.3 * scene.roll(1, 3)
    before = between[..., 14 : 14 + height, 27 : 27 + width].contiguous()
    past = (before, values["uv_before"], values["hidden_before"])
    ports = [op.parameter(list(each.shape), np.float32) for each in (y, *past)]
    node = align_node(*(port.output(0) for port in ports), whole=whole)
    core = ov.Core()
    assert load_extension(core)
    compiled = core.compile_model(ov.Model([op.result(each) for each in node.outputs()], ports), "CPU")
    results = compiled([each.numpy() for each in (y, *past)])
    motion = find_motion(*(each.mul(255).round().byte() for each in (y, before)), whole=whole)
    assert size == (8, 8) or (motion != 0).any()
    for number, (plane, block) in enumerate(zip(past, (8, 4, 4), strict=True)):
        moved = move(plane, motion, block, nearest=number == 2).numpy()
        np.testing.assert_allclose(results[number], moved, rtol=0, atol=0 if number == 2 else 1e-6)


@needs_extension
def test_sizes_that_do_not_fit_are_refused():
    values = planes(16, 24)
    values["uv"] = values["uv"][..., :4]
    model, inputs = graph_of("RTInput", values)
    core = ov.Core()
    assert load_extension(core)
    with pytest.raises(RuntimeError, match=r"uv \(N, 2, H/2, W/2\)"):
        core.compile_model(core.read_model(model), "CPU")({each: values[each].numpy() for each in inputs})
