import numpy as np
import pytest

from malle_rt.estimate import SigmaEstimator, estimate_sigma


def picture(size=(270, 480)):
    """A textured picture with flat parts, float."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    texture = 40 * np.sin(rows * columns / 900.0) * (columns > size[1] // 2)
    return 120 + 30 * rows / size[0] + texture


@pytest.mark.parametrize("sigma", [2, 5, 10, 25, 40])
@pytest.mark.parametrize("bits", [8, 10])
def test_finds_white_noise(sigma, bits):
    noise = np.random.default_rng(0).normal(0, sigma, (270, 480))
    scale, largest = 1 << (bits - 8), (1 << bits) - 1
    codes = np.clip(np.rint((picture() + noise) * scale), 0, largest).astype(
        np.uint8 if bits == 8 else np.uint16
    )
    assert estimate_sigma(codes, bits) == pytest.approx(sigma, rel=0.1)


def test_clean_and_clipped_and_tiny_pictures():
    assert estimate_sigma(picture().astype(np.uint8)) < 1
    assert estimate_sigma(np.full((64, 64), 255, np.uint8)) is None
    assert estimate_sigma(np.zeros((3, 5), np.uint8)) is None


def test_black_frames_tell_nothing():
    noise = np.random.default_rng(0).normal(0, 15, (64, 64))
    picture, black = np.clip(120 + noise, 0, 255).astype(np.uint8), np.full((64, 64), 16, np.uint8)
    estimator = SigmaEstimator()
    assert estimator.update([black], 8) == 0
    first = estimator.update([picture], 8)
    assert first == pytest.approx(15, rel=0.15)
    for _ in range(30):
        assert estimator.update([black], 8) == first


def test_large_pictures_are_sampled_not_skipped():
    noise = np.random.default_rng(0).normal(0, 8, (2160, 1024))
    assert estimate_sigma((120 + noise).astype(np.uint8)) == pytest.approx(8, rel=0.1)


def test_the_estimate_moves_slowly():
    rng = np.random.default_rng(0)
    quiet, loud = ((120 + rng.normal(0, sigma, (64, 64))).astype(np.uint8) for sigma in (5, 20))
    estimator = SigmaEstimator(every=1)
    start = estimator.update([quiet], 8)
    after = estimator.update([loud], 8)
    assert start < after < 13
    for _ in range(20):
        after = estimator.update([loud], 8)
    assert after == pytest.approx(20, rel=0.15)


def test_frames_between_two_looks_are_not_touched():
    class Untouchable:
        def __getitem__(self, index):
            raise AssertionError("looked at")

    luma = np.clip(120 + np.random.default_rng(0).normal(0, 15, (64, 64)), 0, 255).astype(np.uint8)
    estimator = SigmaEstimator(every=3)
    first = estimator.update([luma], 8)
    assert estimator.update(Untouchable(), 8) == estimator.update(Untouchable(), 8) == first
    with pytest.raises(AssertionError, match="looked at"):
        estimator.update(Untouchable(), 8)
