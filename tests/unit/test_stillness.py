import numpy as np
import pytest

from malle_rt.stillness import pooled, sigma_of_changes


def structure(size=(360, 640), seed=0):
    """Patches of 12 x 12 pixels, float."""
    rows, columns = (-(-side // 12) for side in size)
    patches = np.random.default_rng(seed).uniform(60, 190, (rows, columns))
    return patches.repeat(12, 0).repeat(12, 1)[: size[0], : size[1]]


def video(at, sigma, bits=8):
    """Three frames of ``at(0)``, ``at(1)``, ``at(2)`` with white noise, as they are compared."""
    random, frames = np.random.default_rng(1), []
    for number in range(3):
        noisy = (at(number) + random.normal(0, sigma, at(number).shape)) * (1 << (bits - 8))
        codes = np.clip(np.rint(noisy), 0, (1 << bits) - 1).astype(np.uint8 if bits == 8 else np.uint16)
        frames.append(pooled(codes, bits))
    return frames


@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize("sigma", [2, 10, 30])
@pytest.mark.parametrize("size", [(360, 640), (1088, 1920), (150, 250)])
def test_white_noise_has_its_own_strength(size, sigma, bits):
    scene = structure(size)
    assert sigma_of_changes(*video(lambda _: scene, sigma, bits)) == pytest.approx(sigma, rel=0.1)


def test_coarse_noise_counts_as_the_white_noise_that_is_as_strong_there():
    random, scene = np.random.default_rng(0), structure()
    fields = [random.normal(0, 8, (90, 160)).repeat(4, 0).repeat(4, 1) for _ in range(3)]
    frames = [pooled(np.rint(scene + field).astype(np.uint8), 8) for field in fields]
    assert sigma_of_changes(*frames) == pytest.approx(4 * 8, rel=0.1)


@pytest.mark.parametrize("step", [1, 2, 5, 12, 40, 97])
@pytest.mark.parametrize("sigma", [0, 3])
def test_structure_that_moves_is_not_taken_for_noise(step, sigma):
    wide = structure((360, 900))
    found = sigma_of_changes(*video(lambda number: wide[:, step * number :][:, :640], sigma))
    assert found is None or found == pytest.approx(sigma, rel=0.5)


def test_a_walk_through_a_still_scene_does_not_matter():
    def scene(number):
        picture = structure()
        picture[100:300, 40 * number : 40 * number + 200] = structure((200, 200), seed=5)
        return picture

    assert sigma_of_changes(*video(scene, 8)) == pytest.approx(8, rel=0.15)


def test_a_picture_that_trembles_is_not_taken_for_noise():
    rows, columns = np.mgrid[:360, :640].astype(float)
    contrast = np.where(columns < 320, 10, 50)
    places = ((0, 0), (0.2, 0), (0.1, 0.17))  # any two as far apart: no motion that goes on

    def scene(number):
        down, across = places[number]
        return 128 + contrast * (np.sin((rows + down) / 2.5) + np.sin((columns + across) / 2.5)) / 2

    assert sigma_of_changes(*video(scene, 0.3)) is None
    assert sigma_of_changes(*video(lambda _: scene(0), 3)) == pytest.approx(3, rel=0.1), "without, it tells"


def test_pictures_that_never_change_tell_nothing():
    assert sigma_of_changes(*video(lambda _: structure(), 0)) is None
    assert sigma_of_changes(*video(lambda _: np.full((360, 640), 120.0), 10)) is None, "no structure"
    assert sigma_of_changes(*video(lambda _: structure((20, 400)), 10)) is None, "smaller than a block"
