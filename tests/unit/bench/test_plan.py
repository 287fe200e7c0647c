import pytest

from malle_rt.bench.plan import Combination, Size, combinations, parse_size
from malle_rt.errors import ConfigError
from malle_rt.models import model_names

HD = parse_size("720p")


def test_sizes_have_names_or_are_written_out():
    assert parse_size("4k") == Size("4k", 3840, 2160)
    assert parse_size("960x540") == Size("960x540", 960, 540)


@pytest.mark.parametrize("text", ["5k", "641x360", "16x16", "x", ""])
def test_a_size_that_cannot_be_is_refused(text):
    with pytest.raises(ConfigError, match="size"):
        parse_size(text)


def test_a_named_backend_runs_in_all_its_precisions():
    found = combinations(["openvino"], ["rt-s"], ["all"], [HD])
    assert [each.precision for each in found] == ["int8", "fp32"]
    assert all(each.required for each in found)


def test_auto_leaves_the_choice_to_the_backend():
    assert combinations(["auto"], ["rt-s"], ["all"], [HD]) == [Combination("auto", "rt-s", "auto", HD)]


def test_all_backends_are_tried_without_being_required():
    found = combinations(["all"], ["all"], ["all"], [HD])
    assert {each.backend for each in found} == {"tensorrt", "tensorrt-rtx", "cuda", "openvino", "torch"}
    assert {each.model for each in found} == set(model_names())
    assert not any(each.required for each in found)


def test_networks_for_photographs_are_measured_where_they_are_named():
    found = combinations(["openvino", "torch"], ["mallenet-m"], ["all"], [HD])
    assert [(each.backend, each.precision) for each in found] == [("openvino", "fp32"), ("torch", "fp32")]


def test_a_precision_that_was_named_fails_only_where_the_backend_was_too():
    assert combinations(["torch"], ["rt-s"], ["int8"], [HD])[0].precision == "int8"
    assert {each.backend for each in combinations(["all"], ["rt-s"], ["int8"], [HD])} == {
        "tensorrt",
        "tensorrt-rtx",
        "openvino",
    }


@pytest.mark.parametrize(
    ("backend", "model", "precision", "words"),
    [
        ("warp", "rt-s", "all", "backend must be one of"),
        ("openvino", "rt-x", "all", "model must be one of"),
        ("openvino", "rt-s", "fp8", "precision must be one of"),
    ],
)
def test_unknown_names_are_refused(backend, model, precision, words):
    with pytest.raises(ConfigError, match=words):
        combinations([backend], [model], [precision], [HD])
