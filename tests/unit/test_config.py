import pytest

from malle_rt.config import DenoiseConfig
from malle_rt.errors import ConfigError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strength": -1}, "strength must be auto, light, medium, strong or 0 to 75, got -1"),
        ({"strength": 75.5}, "strength must be auto, light, medium, strong or 0 to 75, got 75.5"),
        ({"strength": float("nan")}, "strength must be"),
        ({"mix": 1.5}, "mix must be 0 to 1, got 1.5"),
        ({"backend": "gpu"}, "backend must be one of .*'gpu'"),
        ({"precision": "fp8"}, "precision must be one of .*'fp8'"),
        ({"cuda_adapter": "cupy"}, "cuda_adapter must be one of .*'cupy'"),
        ({"gpu": -1}, "gpu must be the number of a GPU, from 0 on, or all, got -1"),
        ({"gpu": "some"}, "gpu must be the number of a GPU, from 0 on, or all, got 'some'"),
        ({"gpu": True}, "gpu must be the number"),
        ({"gpu": 0, "backend": "openvino"}, "gpu chooses an NVIDIA GPU, .* got openvino"),
        ({"engine": "a.engine"}, "an engine file needs backend tensorrt or tensorrt-rtx, got auto"),
    ],
)
def test_says_what_it_got_and_wanted(options, message):
    with pytest.raises(ConfigError, match=message):
        DenoiseConfig(**options)


@pytest.mark.parametrize("strength", [0, 75, 12.5, "auto"])
def test_takes_the_whole_range(strength):
    assert DenoiseConfig(strength=strength).strength == strength
