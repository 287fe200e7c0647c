from functools import partial

import onnx
import pytest
from helpers.slice_graph import slice_graph

from malle_rt.errors import BackendError
from malle_rt.models import graph_file
from malle_rt.ops.onnx import functions
from malle_rt.trt.onnx_file import input_names, widened, without_function


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_only_the_plugin_s_body_goes(precision):
    content = graph_file("rt-s", precision).read_bytes()
    wanted = onnx.load_from_string(content)
    assert wanted.functions
    del wanted.functions[:]
    assert onnx.load_from_string(without_function(content, "MalleSlice")) == wanted


def test_bodies_of_nodes_that_have_no_plugin_stay():
    model = slice_graph(3, (1, 1, 8, 8), (1, 10, 1, 1))
    del model.functions[:]
    model.functions.extend(functions("RTOutput"))
    left = onnx.load_from_string(without_function(model.SerializeToString(), "MalleSlice"))
    assert {each.name for each in left.functions} == {"RTOutput", "RTLumaBands", "RTChromaBands"}


def test_the_names_of_the_inputs_tell_what_it_is_told():
    content = graph_file("rt-s", "fp16").read_bytes()
    assert input_names(content) == [each.name for each in onnx.load_from_string(content).graph.input]
    assert "sigma" in input_names(content)


def test_a_graph_without_functions_stays_as_it_is():
    model = slice_graph(3, (1, 1, 8, 8), (1, 10, 1, 1))
    del model.functions[:]
    content = model.SerializeToString()
    assert without_function(content, "MalleSlice") == content


@pytest.mark.parametrize("content", [b"# a text", b"\xff" * 9, graph_file("rt-s", "fp16").read_bytes()[:-3]])
@pytest.mark.parametrize("change", [widened, partial(without_function, name="MalleSlice"), input_names])
def test_other_files_are_refused(content, change):
    with pytest.raises(BackendError, match="no ONNX file"):
        change(content)


@pytest.mark.parametrize("model", ["rt-s", "rt-m"])
def test_a_wide_graph_computes_in_float32(model):
    content = graph_file(model, "fp16").read_bytes()
    before, after = (onnx.load_from_string(each) for each in (content, widened(content)))
    onnx.checker.check_model(after)
    pairs = zip(before.graph.initializer, after.graph.initializer, strict=True)
    floats = [(half, single) for half, single in pairs if half.data_type == 10]
    assert floats and all(single.data_type == 1 for _, single in floats)
    for half, single in floats:
        assert (onnx.numpy_helper.to_array(half) == onnx.numpy_helper.to_array(single)).all()
    values = [*after.graph.input, *after.graph.output, *after.graph.value_info]
    assert not [each.name for each in values if each.type.tensor_type.elem_type == 10]
    assert after.graph.node == before.graph.node


def test_a_graph_in_float32_is_wide_already():
    content = graph_file("rt-s", "fp32").read_bytes()
    assert widened(content) == content
