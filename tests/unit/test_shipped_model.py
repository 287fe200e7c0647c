"""What the shipped network promises, on pictures made here: seeded noise, the denoiser as users run it."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from malle_rt.backends.openvino import OpenVinoBackend
from malle_rt.config import DenoiseConfig
from malle_rt.denoiser import FrameDenoiser
from malle_rt.frame import Frame
from malle_rt.media.synthetic import INDEX_ROWS, SyntheticSource
from malle_rt.models import model_names

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


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("model", model_names())
def test_no_strength_makes_flat_areas_darker_or_brighter(model, precision):
    levels = np.array([16, 20, 30, 70, 128, 235])
    truth = np.repeat(levels, 48).astype(np.float32)[None].repeat(64, 0)
    backend = OpenVinoBackend(model, threads=2, precision=precision)
    for strength in (4, 20, 75):
        rng = np.random.default_rng(3)
        denoiser = FrameDenoiser(backend, DenoiseConfig(strength=strength))
        shift = np.zeros_like(truth)
        for _ in range(8):
            noise = np.rint(rng.normal(0, 6, truth.shape))
            luma = np.clip(truth + noise, 0, 255).astype(np.uint8)
            chroma = np.clip(128 + rng.normal(0, 3, (32, truth.shape[1] // 2)), 0, 255).astype(np.uint8)
            frame = Frame((luma, chroma, chroma), "yuv420p", 0, Fraction(1, 25))
            clean = denoiser.denoise(frame)
            shift += (clean.planes[0].astype(np.float32) - luma) / 8
            assert abs(clean.planes[1].mean() - chroma.mean()) < 0.5
        means = [shift[8:-8, 48 * i + 12 : 48 * i + 36].mean() for i in range(len(levels))]
        assert np.abs(means).max() < 0.5, (strength, means)
