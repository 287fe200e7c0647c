"""Real builds: TensorRT-RTX needs no GPU for them."""

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime.quantization as quantization
import pytest
from helpers.slice_graph import save, slice_graph
from helpers.trt import int8_writers, plugins_in

from malle_rt.errors import BackendError, BackendUnavailable, ConfigError
from malle_rt.models import graph_file
from malle_rt.trt import build
from malle_rt.trt.build import BuildRequest, build_engine
from malle_rt.trt.engines import specify
from malle_rt.trt.flavour import load_flavour
from malle_rt.trt.profiles import load_profile

pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed: pip install 'malle-rt[rtx]'")


def request(graph=None, **changes):
    wanted = BuildRequest(
        flavour="tensorrt-rtx",
        graph=graph or graph_file("rt-s", "fp16"),
        profile=load_profile("720p"),
        capabilities=("sm_86", "sm_89"),
    )
    return replace(wanted, **changes)


def slices(path):
    return sum(node.op_type == "MalleSlice" for node in onnx.load(path).graph.node)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_every_slice_of_the_shipped_graphs_is_a_plugin_of_the_plan(precision):
    graph = graph_file("rt-s", precision)
    built = build_engine(request(graph))
    assert plugins_in(built.data) == built.plugins == slices(graph) == 5
    assert int8_writers(built.data) == 0


def test_a_graph_in_float16_is_built_in_float32_where_that_is_wanted():
    """What 12 bits are computed by, of a network that ships no graph in float32."""
    graph = graph_file("rt-m", "fp16")
    built = build_engine(request(graph, widen=True))
    assert built.plugins == slices(graph)


@pytest.mark.slow
@pytest.mark.parametrize(("model", "profile"), [("mallenet-s", "photo"), ("mallenet-m", "720p")])
def test_networks_for_photographs_are_built_for_tiles_and_for_frames(model, profile):
    spec = specify(load_flavour("tensorrt-rtx"), load_profile(profile), None, model=model)
    wanted = {"photo": "64x64 768x768 768x768", "720p": "64x64 1280x768 1280x768"}
    assert spec.identity.sizes == wanted[profile]
    built = build_engine(replace(spec.request, capabilities=("sm_89",)))
    assert plugins_in(built.data) == built.plugins == 4


class Calibration(quantization.CalibrationDataReader):
    """One random frame."""

    def __init__(self, graph):
        random = np.random.default_rng(0)
        self._frames = iter([{each.name: draw(each, random) for each in onnx.load(graph).graph.input}])

    def get_next(self):
        return next(self._frames, None)


def draw(value, random):
    dims = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
    full = 64 if value.name in ("y", "y_before") else 32
    return random.random([dim or full for dim in dims], dtype=np.float32)


@pytest.fixture(scope="module")
def int8_graph(tmp_path_factory):
    """The portable graph with quantisers around its convolutions."""
    source, path = graph_file("rt-s", "fp32"), tmp_path_factory.mktemp("int8") / "rt-s.int8.onnx"
    quantization.quantize_static(
        source,
        path,
        Calibration(source),
        quant_format=quantization.QuantFormat.QDQ,
        op_types_to_quantize=["Conv", "ConvTranspose"],
        per_channel=True,
        activation_type=quantization.QuantType.QInt8,
        weight_type=quantization.QuantType.QInt8,
        extra_options={"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False},
    )
    return path


@pytest.mark.slow
def test_int8_is_in_the_plan_where_the_graph_has_quantisers(int8_graph):
    built = build_engine(request(int8_graph))
    assert plugins_in(built.data) == built.plugins == slices(int8_graph) == 5
    assert int8_writers(built.data) >= 5


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["360p", "4k", "8x8", "350x202"])
def test_every_profile_builds(profile):
    assert build_engine(request(profile=load_profile(profile))).plugins == 5


@pytest.mark.slow
def test_for_every_gpu_that_is_served():
    served = tuple(load_flavour("tensorrt-rtx").capabilities())
    assert build_engine(request(capabilities=served)).plugins == 5


@pytest.mark.slow
def test_int8_is_lost_when_turing_is_one_of_the_gpus(int8_graph):
    """Which is why ``specify`` leaves it out."""
    assert int8_writers(build_engine(request(int8_graph, capabilities=("sm_75", "sm_89"))).data) == 0


def test_a_gpu_it_does_not_serve_is_named():
    with pytest.raises(BackendUnavailable, match=r"builds for sm_75, .*, not for sm_90"):
        build_engine(request(capabilities=("sm_90",)))


def test_progress_rises_and_is_told_on_this_thread():
    shares = []
    build_engine(request(), progress=lambda now: shares.append(now.share))
    assert shares
    assert shares == sorted(shares)
    assert 0 <= shares[0] <= shares[-1] <= 1


def test_stops_when_asked():
    with pytest.raises(BackendError, match=r"TensorRT-RTX's builder was stopped\. No engine was kept"):
        build_engine(request(), stopped=lambda: True)


def test_has_a_limit():
    with pytest.raises(
        BackendError, match=r"TensorRT-RTX's builder took longer than 0 s\. No engine was kept"
    ):
        build_engine(request(), limit=0)


def test_a_builder_that_kills_its_process_is_an_error_here(monkeypatch):
    """As TensorRT-RTX's parser does when it does not find its own library by the name it looks for."""
    monkeypatch.setattr(build, "_library_path", lambda _: {})
    with pytest.raises(
        BackendError, match=r"TensorRT-RTX's builder ended with signal SIGABRT: terminate called"
    ):
        build_engine(request())


def test_tensorrt_itself_is_not_here():
    with pytest.raises(BackendUnavailable):
        build_engine(request(flavour="tensorrt"))


@pytest.mark.parametrize(
    ("x", "grid", "size", "words"),
    [
        ((1, 6, 16, 16), (1, 31, 4, 4), 3, r"odd_slice: the grid must have G \* 10 channels .* got 31"),
        ((1, 6, 16, 16), (1, 40, 4, 4), 3, "odd_slice: the grid must have .* G dividing 6, got 40"),
        ((1, 6, 16, 16), (1, 30, 4, 2), 3, "odd_slice: x must be one integer stride larger than grid"),
        ((1, 6, 16, 16), (1, 18, 4, 4), 4, r"odd_slice: want one kernel_size of \(1, 3, 5\), got \[4\]"),
    ],
)
def test_a_graph_that_breaks_the_contract_names_its_node(x, grid, size, words, tmp_path):
    model = slice_graph(size, x, grid)
    model.graph.node[0].name = "odd_slice"
    with pytest.raises(BackendError, match=words):
        build_engine(request(save(model, tmp_path)))


def test_an_operator_it_does_not_know_is_named(tmp_path):
    model = slice_graph(3, (1, 6, 16, 16), (1, 30, 4, 4))
    model.graph.node[0].name, model.graph.node[0].op_type = "strange", "MalleNothing"
    with pytest.raises(BackendError, match=r"cannot parse .*: node 'strange' \(MalleNothing\): "):
        build_engine(request(save(model, tmp_path)))


def test_a_graph_without_slices_is_none_of_ours(tmp_path):
    value = onnx.helper.make_tensor_value_info
    ends = [value(name, onnx.TensorProto.FLOAT, [1, 1, 8, 8]) for name in ("x", "y")]
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    model = onnx.helper.make_model(
        onnx.helper.make_graph([node], "plain", ends[:1], ends[1:]),
        opset_imports=[onnx.helper.make_opsetid("", 18)],
        ir_version=8,
    )
    with pytest.raises(BackendError, match="without our plugin MalleSlice"):
        build_engine(request(save(model, tmp_path)))


def test_a_graph_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read the graph .*nope.onnx: No such file"):
        build_engine(request(tmp_path / "nope.onnx"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"optimization_level": 6}, "the optimisation level must be 0 to 5, got 6"),
        ({"workspace": 0}, "at least 1 MiB, got 0"),
    ],
)
def test_options_outside_their_range(changes, words):
    with pytest.raises(ConfigError, match=words):
        request(**changes)


def test_its_options_are_taken():
    wanted = request(optimization_level=1, workspace=64)
    assert wanted.options == "level 1, workspace 64"
    assert build_engine(wanted).plugins == 5
