import pytest

from malle_rt.errors import ConfigError
from malle_rt.models import PRECISIONS, engines_folder, graph_file, model_names


def test_a_model_is_listed_once_however_many_graphs_it_has():
    assert "rt-s" in model_names()
    assert not any("." in name for name in model_names())


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_each_precision_has_its_graph(precision):
    assert graph_file("rt-s", precision) == engines_folder() / f"rt-s{PRECISIONS[precision]}"


def test_unknown_ones_are_named():
    with pytest.raises(ConfigError, match="no precision 'fp8'; there are: fp16, int8, fp32"):
        graph_file("rt-s", "fp8")
    with pytest.raises(ConfigError, match="no model 'rt-x'"):
        graph_file("rt-x", "fp16")
