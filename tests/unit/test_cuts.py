import numpy as np
import pytest

from malle_rt.cuts import CutDetector


def scene(seed, size=(180, 320)):
    """Patches of different brightness, float."""
    patches = np.random.default_rng(seed).uniform(30, 220, (6, 8))
    return patches.repeat(-(-size[0] // 6), 0).repeat(-(-size[1] // 8), 1)[: size[0], : size[1]]


def noisy(clean, sigma=0.0, bits=8, seed=0):
    noise = np.random.default_rng(seed).normal(0, sigma, clean.shape) if sigma else 0.0
    codes = np.clip((clean + noise) * (1 << (bits - 8)), 0, (1 << bits) - 1)
    return codes.round().astype(np.uint8 if bits == 8 else np.uint16)


def found(pictures, bits=8):
    """Positions at which a cut is found."""
    detector = CutDetector()
    return [position for position, picture in enumerate(pictures) if detector.update(picture, bits)]


@pytest.mark.parametrize("bits", [8, 10, 16])
@pytest.mark.parametrize("sigma", [0, 10, 50])
def test_the_first_frame_of_each_shot_is_found(sigma, bits):
    shots = [scene(0)] * 4 + [scene(1)] * 4 + [scene(2)] * 2
    assert found((noisy(each, sigma, bits, seed) for seed, each in enumerate(shots)), bits) == [4, 8]


@pytest.mark.parametrize("size", [(1088, 1920), (37, 50), (16, 16)])
def test_pictures_of_every_size_are_compared(size):
    assert found([noisy(np.full(size, level)) for level in (40, 40, 200, 200)]) == [2]


def test_noise_alone_is_no_cut():
    assert found(noisy(scene(0), sigma, seed=sigma) for sigma in range(0, 76, 3)) == []


@pytest.mark.parametrize("step", [1, 8, 24])
def test_a_camera_that_turns_steadily_makes_no_cut(step):
    wide = scene(0, (180, 6400))
    assert found(noisy(wide[:, step * at : step * at + 320], 10, seed=at) for at in range(1, 40)) == []


def test_a_fade_is_no_cut():
    assert found(noisy(scene(0) * share) for share in np.linspace(1, 0, 25)) == []


def test_what_cannot_be_compared_is_no_cut():
    assert found([np.zeros((8, 8), np.uint8), np.full((8, 8), 255, np.uint8)]) == []
    assert found([np.zeros((64, 64), np.uint8), np.full((32, 64), 255, np.uint8)]) == []
