"""What the shipped network promises, on pictures made here: seeded noise, the denoiser as users run it."""

from dataclasses import replace

import numpy as np
import pytest

from malle_rt.backends.openvino import OpenVinoBackend
from malle_rt.config import DenoiseConfig
from malle_rt.denoiser import FrameDenoiser
from malle_rt.media.synthetic import INDEX_ROWS, SyntheticSource

SIZE = (160, 96)


@pytest.fixture(scope="module")
def backend():
    return OpenVinoBackend("rt-s", threads=2)


def noisy(frame, sigma, seed):
    rng = np.random.default_rng(seed)
    planes = tuple(
        np.clip(np.rint(plane + rng.normal(0, share * sigma, plane.shape)), 0, 255).astype(np.uint8)
        for plane, share in zip(frame.planes, (1, 0.5, 0.5), strict=True)
    )
    return replace(frame, planes=planes)


def psnr(frame, truth):
    error = frame.planes[0][INDEX_ROWS:].astype(float) - truth.planes[0][INDEX_ROWS:]
    return 10 * np.log10(255**2 / np.mean(error**2))


def play(backend, truths, sigma, seed=0):
    """PSNR-Y of every output of one video."""
    denoiser = FrameDenoiser(backend, DenoiseConfig(strength=sigma))
    return np.array([psnr(denoiser.denoise(noisy(t, sigma, seed + n)), t) for n, t in enumerate(truths)])


@pytest.mark.parametrize("sigma", [5, 10, 20, 40])
def test_takes_more_noise_away_the_more_there_is(backend, sigma):
    source = SyntheticSource(8, SIZE)
    truths = [source.clean(index) for index in range(8)]
    before = psnr(noisy(truths[-1], sigma, 7), truths[-1])
    assert play(backend, truths, sigma)[-1] > before + {5: 1, 10: 2.5, 20: 4.5, 40: 6}[sigma]


def test_a_static_scene_gets_cleaner_and_stays_clean(backend):
    gained = play(backend, [SyntheticSource(1, SIZE).clean(0)] * 300, 20)
    assert gained[15] > gained[0] + 1
    assert gained[-50:].min() > gained[15] - 0.5, "no drift over 300 frames"


def test_a_cut_leaves_no_ghost(backend):
    first, second = (SyntheticSource(1, SIZE, seed=seed).clean(0) for seed in (0, 5))
    after_cut = play(backend, [first] * 12 + [second] * 4, 20)[-1]
    fresh = play(backend, [second] * 4, 20, seed=12)[-1]
    assert after_cut > fresh - 0.5


def test_clean_pictures_stay_clean(backend):
    source = SyntheticSource(8, SIZE)
    denoiser = FrameDenoiser(backend, DenoiseConfig(strength=0.5))
    for index in range(8):
        truth = source.clean(index)
        last = psnr(denoiser.denoise(truth), truth)
    assert last > 42
