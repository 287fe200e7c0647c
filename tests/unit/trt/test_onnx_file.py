import onnx
import pytest
from helpers.slice_graph import slice_graph

from malle_rt.errors import BackendError
from malle_rt.models import graph_file
from malle_rt.trt.onnx_file import without_functions


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_only_the_functions_go(precision):
    content = graph_file("rt-s", precision).read_bytes()
    wanted = onnx.load_from_string(content)
    assert wanted.functions
    del wanted.functions[:]
    assert onnx.load_from_string(without_functions(content)) == wanted


def test_a_graph_without_functions_stays_as_it_is():
    model = slice_graph(3, (1, 1, 8, 8), (1, 10, 1, 1))
    del model.functions[:]
    content = model.SerializeToString()
    assert without_functions(content) == content


@pytest.mark.parametrize("content", [b"# a text", b"\xff" * 9, graph_file("rt-s", "fp16").read_bytes()[:-3]])
def test_other_files_are_refused(content):
    with pytest.raises(BackendError, match="no ONNX file"):
        without_functions(content)
