import numpy as np
import pytest

from malle_rt.estimate import estimate_sigma


def picture(size=(270, 480)):
    """A textured picture with flat parts, float."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    texture = 40 * np.sin(rows * columns / 900.0) * (columns > size[1] // 2)
    return 120 + 30 * rows / size[0] + texture


def grass(size=(360, 640), flat=0.1):
    """Fine texture almost everywhere, about as strong at every scale; ``flat`` of the width is plain. Float."""
    rng = np.random.default_rng(7)
    texture = np.zeros(size)
    for scale in (1, 2, 4, 8):
        coarse = rng.normal(0, 14, (size[0] // scale + 2, size[1] // scale + 2))
        smooth = (coarse[:-1, :-1] + coarse[1:, :-1] + coarse[:-1, 1:] + coarse[1:, 1:]) / 2
        texture += smooth.repeat(scale, 0).repeat(scale, 1)[: size[0], : size[1]]
    texture[:, : round(size[1] * flat)] = 0
    return 120 + texture


def noisy(clean, sigma, bits=8, seed=0):
    """White noise of ``sigma`` (8-bit scale) on a picture on the 8-bit scale, in codes of ``bits``."""
    noise = np.random.default_rng(seed).normal(0, sigma, clean.shape)
    codes = np.clip(np.rint((clean + noise) * (1 << (bits - 8))), 0, (1 << bits) - 1)
    return codes.astype(np.uint8 if bits == 8 else np.uint16)


@pytest.mark.parametrize("sigma", [2, 5, 10, 25, 40])
@pytest.mark.parametrize("bits", [8, 10, 16])
def test_finds_white_noise(sigma, bits):
    assert estimate_sigma(noisy(picture(), sigma, bits), bits) == pytest.approx(sigma, rel=0.06)


@pytest.mark.parametrize("sigma", [2, 6, 16, 32])
def test_fine_texture_is_not_noise(sigma):
    """A tenth of the picture is plain; the rest has more power in its details than the weaker of these noises."""
    assert estimate_sigma(noisy(grass(), sigma)) == pytest.approx(sigma, rel=0.12)


@pytest.mark.parametrize("level", [40, 205])
def test_noise_that_is_clipped_at_an_end_does_not_vote(level):
    """Three quarters of the picture lie so near to black or white that their noise is cut."""
    clean = np.full((270, 480), 22.0 if level < 128 else 229.0)
    clean[:, 360:] = level
    cut = np.clip(noisy(clean, 10), 16, 235).astype(np.uint8)
    assert estimate_sigma(cut) == pytest.approx(10, rel=0.08)


def test_pictures_that_are_dark_all_over_still_have_an_estimate():
    dark = np.clip(noisy(np.full((270, 480), 34.0), 12), 16, 235).astype(np.uint8)
    assert estimate_sigma(dark) == pytest.approx(dark.std(), rel=0.1)


def test_captions_without_noise_do_not_make_the_rest_clean():
    captioned = noisy(np.full((270, 480), 120.0), 8)
    captioned[:, :200] = 90
    assert estimate_sigma(captioned) == pytest.approx(8, rel=0.06)


def test_bars_of_a_letterbox_do_not_vote():
    film = noisy(picture(), 8)
    film[:50] = film[-50:] = 16
    assert estimate_sigma(film) == pytest.approx(8, rel=0.06)


def test_drawn_pictures_have_no_noise():
    drawn = np.full((240, 320), 200, np.uint8)
    drawn[40:90, 33:120] = 60
    drawn[101:180, 200:261] = 140
    drawn[150:155] = 30
    assert estimate_sigma(drawn) == 0
    assert estimate_sigma(np.full((64, 64), 128, np.uint8)) == 0


def test_clean_and_clipped_pictures():
    assert estimate_sigma(picture().astype(np.uint8)) < 1
    for level in (0, 16, 235, 255):
        assert estimate_sigma(np.full((64, 64), level, np.uint8)) is None
    assert estimate_sigma(np.full((64, 64), 940, np.uint16), 10) is None


@pytest.mark.parametrize("size", [(0, 0), (3, 5), (7, 640), (360, 7)])
def test_less_than_a_block_tells_nothing(size):
    assert estimate_sigma(np.full(size, 128, np.uint8)) is None


@pytest.mark.parametrize("size", [(8, 8), (9, 15), (24, 17), (31, 400)])
def test_small_and_odd_planes_have_an_estimate(size):
    sigmas = [estimate_sigma(noisy(np.full(size, 128.0), 10, seed=seed)) for seed in range(20)]
    assert np.median(sigmas) == pytest.approx(10, rel=0.2)


def test_rows_may_have_a_pitch():
    padded = noisy(picture(), 10)
    np.testing.assert_equal(estimate_sigma(padded[:, :401]), estimate_sigma(padded[:, :401].copy()))


def test_large_pictures_are_sampled_not_skipped():
    large = noisy(np.full((2160, 1024), 120.0), 8)
    assert estimate_sigma(large) == pytest.approx(8, rel=0.05)
