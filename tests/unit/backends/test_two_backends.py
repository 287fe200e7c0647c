"""Two backends in one process: what is shared between them outlives either."""

import gc

import numpy as np
import pytest

from malle_rt.api import open_denoiser
from malle_rt.config import DenoiseConfig
from malle_rt.media.synthetic import SyntheticSource

FRAMES = list(SyntheticSource(4, (96, 64), noise_sigma=15))
OPENVINO = DenoiseConfig(backend="openvino", precision="fp32", strength=15.0)
QUANTISED = DenoiseConfig(backend="openvino", precision="int8", strength=15.0)
LARGER = DenoiseConfig(backend="openvino", model="rt-m", precision="fp32", strength=15.0)
TORCH = DenoiseConfig(backend="torch", strength=15.0)


def denoised(denoiser, frames):
    return [denoiser.denoise(frame).planes[0] for frame in frames]


def alone(config):
    """What it makes of the frames with nobody beside it."""
    denoiser, _ = open_denoiser(config)
    try:
        return denoised(denoiser, FRAMES)
    finally:
        denoiser.close()


@pytest.mark.slow
@pytest.mark.parametrize("closes_first", [0, 1], ids=["the first ends first", "the second ends first"])
@pytest.mark.parametrize(
    "pair",
    [(OPENVINO, OPENVINO), (OPENVINO, QUANTISED), (OPENVINO, LARGER), (OPENVINO, TORCH)],
    ids=["the same", "two precisions", "two models", "two runtimes"],
)
def test_one_goes_on_when_the_other_has_been_closed(pair, closes_first):
    wanted = [alone(config) for config in pair]
    opened = [open_denoiser(config)[0] for config in pair]
    halves = [denoised(denoiser, FRAMES[:2]) for denoiser in opened]
    opened[closes_first].close()
    del opened[closes_first]
    gc.collect()
    (left,) = opened
    staying = 1 - closes_first
    rest = denoised(left, FRAMES[2:])
    again, _ = open_denoiser(pair[closes_first])
    reopened = denoised(again, FRAMES)
    again.close()
    left.close()
    np.testing.assert_array_equal(halves[closes_first], wanted[closes_first][:2])
    np.testing.assert_array_equal([*halves[staying], *rest], wanted[staying])
    np.testing.assert_array_equal(reopened, wanted[closes_first])
