from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from helpers.slice_graph import compile_f32, save, slice_graph
from helpers.slicing import CASES, KERNEL_SIZES, draw, slice_by_hand

from malle_rt.ops.native import extension_path, load_extension
from malle_rt.ops.reference import malle_slice
from malle_rt.vino import ov

# float32 sums of 26 products below 1, in any order, of kernels that are interpolated in any order.
FLOAT32_SUMS = 100 * 2**-24
DYNAMIC = ([1, "C", "H", "W"], [1, "values", "h", "w"])
BUILT = extension_path() is not None

needs_extension = pytest.mark.skipif(
    not BUILT, reason="libmalle_openvino.so was not built (no C++ compiler when malle-rt was installed)"
)


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++ here, so nothing to build with")
def test_is_built_where_a_compiler_is():
    assert BUILT, "g++ is here but the extension is not built: pip install -e . -v says why"


@pytest.fixture
def core():
    core = ov.Core()
    assert load_extension(core)
    return core


def expected(x, grid, kernel_size):
    return malle_slice(torch.from_numpy(x), torch.from_numpy(grid), kernel_size).numpy()


@pytest.mark.slow
@needs_extension
@pytest.mark.parametrize("kernel_size", KERNEL_SIZES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_the_reference(case, kernel_size, core, tmp_path):
    x, grid = draw(case, kernel_size)
    model = core.read_model(save(slice_graph(kernel_size, x.shape, grid.shape), tmp_path))
    assert "MalleSlice" in {node.get_type_name() for node in model.get_ops()}
    y = compile_f32(core, model)([x, grid])[0]
    np.testing.assert_allclose(y, expected(x, grid, kernel_size), rtol=0, atol=FLOAT32_SUMS)


@needs_extension
@pytest.mark.parametrize("kernel_size", KERNEL_SIZES)
def test_more_cells_than_a_block_at_an_odd_stride(kernel_size, core, tmp_path):
    """So far to the right the reference's float32 coordinates are off by more than the kernel's sums."""
    x, grid = draw((1, 1, 2, 65, 3), kernel_size)
    model = core.read_model(save(slice_graph(kernel_size, x.shape, grid.shape), tmp_path))
    y = compile_f32(core, model)([x, grid])[0]
    np.testing.assert_allclose(y, slice_by_hand(x, grid, kernel_size), rtol=0, atol=FLOAT32_SUMS)


@needs_extension
@pytest.mark.parametrize("kernel_size", KERNEL_SIZES)
def test_one_compiled_model_takes_every_size(kernel_size, core, tmp_path):
    compiled = compile_f32(core, core.read_model(save(slice_graph(kernel_size, *DYNAMIC), tmp_path)))
    for case in CASES:
        x, grid = draw(case, kernel_size, batch=1)
        y = compiled([x, grid])[0]
        np.testing.assert_allclose(y, expected(x, grid, kernel_size), rtol=0, atol=FLOAT32_SUMS)


@needs_extension
def test_reshape_before_compiling(core, tmp_path):
    model = core.read_model(save(slice_graph(3, *DYNAMIC), tmp_path))
    x, grid = draw((4, 2, 3, 5, 4), 3, batch=1)
    model.reshape({"x": x.shape, "grid": grid.shape})
    assert model.output(0).shape == list(x.shape)
    np.testing.assert_allclose(
        compile_f32(core, model)([x, grid])[0], expected(x, grid, 3), rtol=0, atol=FLOAT32_SUMS
    )


@needs_extension
def test_between_convolutions(core, tmp_path):
    """The CPU plugin likes blocked layouts for convolutions; ours must be handed plain ones."""
    x, grid = draw((16, 4, 6, 10, 8), 3, batch=1)
    weights = np.random.default_rng(1).normal(0, 0.05, (16, 16, 3, 3)).astype(np.float32)
    model = slice_graph(3, x.shape, grid.shape)
    model.graph.node[0].input[0], model.graph.node[0].output[0] = "before", "after"
    for source, result in (("x", "before"), ("after", "y")):
        convolution = onnx.helper.make_node("Conv", [source, "weights"], [result], pads=[1, 1, 1, 1])
        model.graph.node.insert(0 if source == "x" else 2, convolution)
    model.graph.initializer.append(onnx.numpy_helper.from_array(weights, "weights"))
    y = compile_f32(core, core.read_model(save(model, tmp_path)))([x, grid])[0]
    inner, kernel = (
        F.conv2d(torch.from_numpy(x), torch.from_numpy(weights), padding=1),
        torch.from_numpy(weights),
    )
    wanted = F.conv2d(malle_slice(inner, torch.from_numpy(grid), 3), kernel, padding=1)
    # Two more float32 sums, of 144 products each.
    np.testing.assert_allclose(y, wanted, rtol=0, atol=1e-5)


@needs_extension
def test_two_requests_at_once_give_the_same_bits(core, tmp_path):
    case = (3, 1, 40, 60, 2)
    model = core.read_model(save(slice_graph(5, (1, 3, 80, 120), (1, 26, 40, 60)), tmp_path))
    compiled = compile_f32(core, model)
    drawn = [draw(case, 5, batch=1, seed=seed) for seed in range(2)]
    alone = [compiled(list(inputs))[0].copy() for inputs in drawn]

    def work(which):
        request = compiled.create_infer_request()
        return [request.infer(list(drawn[which]))[0].copy() for _ in range(100)]

    with ThreadPoolExecutor(2) as pool:
        for wanted, results in zip(alone, pool.map(work, range(2)), strict=True):
            assert all(np.array_equal(result, wanted) for result in results)


@needs_extension
def test_survives_serialisation(core, tmp_path):
    x, grid = draw((4, 2, 3, 5, 8), 5)
    model = core.read_model(save(slice_graph(5, x.shape, grid.shape), tmp_path))
    ov.save_model(model, tmp_path / "saved.xml", compress_to_fp16=False)
    again = compile_f32(core, core.read_model(tmp_path / "saved.xml"))
    np.testing.assert_array_equal(again([x, grid])[0], compile_f32(core, model)([x, grid])[0])


@needs_extension
def test_survives_the_model_cache(tmp_path):
    x, grid = draw((4, 2, 3, 5, 8), 5)
    path = save(slice_graph(5, x.shape, grid.shape), tmp_path)
    results = []
    for _ in range(2):
        core = ov.Core()
        assert load_extension(core)
        compiled = core.compile_model(path, "CPU", {"CACHE_DIR": str(tmp_path / "cache")})
        results.append(compiled([x, grid])[0].copy())
    assert compiled.get_property("LOADED_FROM_CACHE")
    np.testing.assert_array_equal(*results)


@needs_extension
@pytest.mark.parametrize(
    ("x_shape", "grid_shape", "kernel_size", "message"),
    [
        ((1, 2, 8, 8), (1, 10, 4, 4), 2, "kernel_size must be 1, 3 or 5, got 2"),
        ((1, 2, 8, 8), (1, 11, 4, 4), 3, r"G \* 10 channels with G dividing 2, got 11"),
        ((1, 3, "H", "W"), (1, 20, "h", "w"), 3, r"G \* 10 channels with G dividing 3, got 20"),
        ((2, 2, 8, 8), (1, 10, 4, 4), 3, "with one N, got"),
        ((1, 2, 8, 16), (1, 10, 4, 4), 3, "one integer stride larger than grid"),
    ],
)
def test_refuses_shapes_outside_the_contract(x_shape, grid_shape, kernel_size, message, core, tmp_path):
    with pytest.raises(RuntimeError, match=message):
        core.read_model(save(slice_graph(kernel_size, x_shape, grid_shape), tmp_path))


@needs_extension
def test_refuses_a_wrong_size_while_running(core, tmp_path):
    compiled = compile_f32(core, core.read_model(save(slice_graph(3, *DYNAMIC), tmp_path)))
    x, grid = draw((2, 1, 3, 5, 2), 3, batch=1)
    with pytest.raises(RuntimeError, match="one integer stride larger than grid"):
        compiled([x[:, :, :-1], grid])
