from collections import Counter

import cv2
import numpy as np
import onnx
import pytest
import torch
from export import export
from int8_graph import balanced_rows, float_layers, kernel_pairs
from onnx import numpy_helper
from quantize import KEPT, calibration, losses, parse, quantize

from malle_rt.models import graph_file
from malle_rt.net import rt2
from malle_rt.net.rt import MalleNetRT, RTConfig

pytestmark = pytest.mark.slow  # compiles

TINY = RTConfig(widths=(8, 8, 8), tail=8, hidden=3)
LAYERS = {"Conv", "ConvTranspose"}


SECOND = rt2.RTConfig(widths=(8, 8, 8), tail=8, hidden=3)


@pytest.fixture(scope="module", params=[MalleNetRT, rt2.MalleNetRT], ids=["first", "second"])
def source(request, tmp_path_factory):
    """Graph of a tiny network of each generation."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("graph") / "tiny.onnx"
    export(request.param(TINY if request.param is MalleNetRT else SECOND).eval(), path)
    return path


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Five clips of soft blobs that move, folders of pictures."""
    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    for index in range(5):
        blobs = cv2.GaussianBlur(rng.uniform(0, 255, (80, 80, 3)), (0, 0), 3)
        picture = cv2.normalize(blobs, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
        (folder / f"clip{index}").mkdir()
        for frame in range(5):
            crop = picture[2 * frame : 2 * frame + 64, frame : frame + 64]
            cv2.imwrite(str(folder / f"clip{index}" / f"{frame}.png"), crop)
    return folder


def options(clips, *more):
    return parse(["tiny", "--clips", str(clips), "--frames", "5", "--size", "64", "--draws", "1", *more])


@pytest.fixture(scope="module")
def made(source, clips, tmp_path_factory):
    target = tmp_path_factory.mktemp("out") / "tiny.int8.onnx"
    assert quantize(source, target, options(clips)) == 0
    return target


def graphs(source, made):
    """The graph made here, and the one that ships."""
    yield onnx.load(source).graph, onnx.load(made).graph
    yield (onnx.load(graph_file("rt-s", precision)).graph for precision in ("fp32", "int8"))


def test_every_layer_but_the_first_multiplies_bytes(source, made):
    for whole, graph in graphs(source, made):
        makers = {output: node.op_type for node in graph.node for output in node.output}
        kept = float_layers(whole)
        assert len(kept) == 1
        for node in graph.node:
            if node.op_type in LAYERS:
                from_bytes = {makers.get(name) == "DequantizeLinear" for name in node.input[:2]}
                assert from_bytes == {node.name not in kept}, node.name
                assert not any(name in makers for name in node.input[2:]), "biases are constants in float"


def test_tensorrt_can_take_every_scale_and_zero_point(source, made):
    for _, graph in graphs(source, made):
        values = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
        pairs = [node for node in graph.node if node.op_type in {"QuantizeLinear", "DequantizeLinear"}]
        assert pairs
        for node in pairs:
            _, scale, zero = (values.get(name) for name in node.input)
            assert zero.dtype == np.int8
            assert not zero.any()
            assert (scale > 0).all()
            assert scale.ndim == (node.input[0] in values), (
                "one for an activation, one per channel for weights"
            )


def test_seven_bits_of_weights_cannot_overflow_16_bits(source, made):
    for _, graph in graphs(source, made):
        weights = [
            numpy_helper.to_array(each)
            for each in graph.initializer
            if each.data_type == onnx.TensorProto.INT8
        ]
        largest = max(np.abs(each.astype(int)).max() for each in weights)
        assert 2 * 255 * largest < 2**15


def test_the_slices_are_left_alone(source, made):
    for whole, graph in graphs(source, made):
        counts = [Counter(node.op_type for node in each.node) for each in (whole, graph)]
        ours = {"MalleSlice", "RTInput", "RTOutput"}
        kept = [{name: count for name, count in each.items() if name in ours} for each in counts]
        assert kept[0] == kept[1]
        assert kept[0] in ({"MalleSlice": 5}, {"RTInput": 1, "RTOutput": 1})


def test_rounded_taps_still_add_up_to_one(source, made):
    for whole, graph in graphs(source, made):
        values = {each.name: numpy_helper.to_array(each).astype(np.float64) for each in graph.initializer}
        layers = {node.name: node for node in graph.node}
        makers = {output: node for node in graph.node for output in node.output}
        pairs = kernel_pairs(whole)
        assert len(pairs) in (2, 4)
        for taps in pairs:
            total, finest = 0.0, np.inf
            for name, rows in taps:
                integers, scales, _ = (values[each] for each in makers[layers[name].input[1]].input)
                total = total + (integers * scales[:, None, None, None])[rows].sum(0)
                finest = min(finest, scales[rows].min())
            assert np.abs(total).max() < 1.01 * finest  # rounded one by one, they would be off by many steps


def test_the_same_seed_gives_the_same_file(source, clips, made, tmp_path):
    again = tmp_path / "again.int8.onnx"
    assert quantize(source, again, options(clips)) == 0
    assert again.read_bytes() == made.read_bytes()
    assert b"onnx.quantize" not in made.read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"SHA256SUMS", "again.int8.onnx"}


def test_what_loses_too_much_is_not_kept(source, clips, tmp_path, capsys):
    target = tmp_path / "tiny.int8.onnx"
    target.write_bytes(b"before")
    assert quantize(source, target, options(clips, "--limit", "-9")) == 1
    assert "limit -9.0; not kept" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [target.name]
    assert target.read_bytes() == b"before"


def test_the_clips_to_measure_on_may_be_named(source, clips, tmp_path, capsys):
    assert quantize(source, tmp_path / "a.onnx", options(clips, "--validate", str(clips / "clip2"))) == 0
    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows if row.startswith(("clip", "mean"))] == ["clip2", "mean"]


def test_calibration_sees_the_state_of_the_float_network(source):
    clip = torch.rand(6, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    samples = list(calibration(source, [clip], draws=2, seed=0))
    assert len(samples) == 2 * KEPT
    first, *later = samples[:KEPT]
    assert np.array_equal(first["y"], first["y_before"])
    assert not first["hidden_before"].any()
    assert all(each["hidden_before"].any() for each in later)
    assert not any(np.array_equal(each["y"], each["y_before"]) for each in later)


def test_a_graph_loses_nothing_against_itself(source):
    clip = torch.rand(4, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    assert losses(source, source, [clip]) == {10: [0.0], 25: [0.0], 50: [0.0]}


@pytest.mark.parametrize("largest", [64, 127])
def test_rounding_a_kernel_pair_keeps_the_sum_of_its_taps(largest):
    rng = np.random.default_rng(0)
    weights = rng.normal(0, 1, (50, 32)) * rng.uniform(0.05, 1, (50, 1))
    weights -= weights.mean(0)
    scales = np.abs(weights).max(1) / largest
    rounded = balanced_rows(weights, scales, largest)
    one_by_one = np.rint(weights / scales[:, None])
    assert np.abs(rounded).max() <= largest
    kept, lost = (np.abs(scales @ each).max() for each in (rounded, one_by_one))
    assert kept < 1.01 * scales.min() < lost / 5
    # What a row takes over from the one before is half of that one's step at most.
    assert np.abs(rounded * scales[:, None] - weights).max() <= 1.01 * scales.max()
