import numpy as np
import pytest
from yardstick.raw import luma
from yardstick.result import ssim

from malle_rt.measuring import psnr

PLANE = np.random.default_rng(0).integers(0, 256, (48, 64), np.uint8)


def test_psnr_of_a_known_error():
    flat = np.full((8, 8), 100, np.uint8)
    assert psnr(flat, flat + 1) == pytest.approx(48.1308, abs=1e-4)  # 20 log10 255
    assert psnr(flat, flat - 5) == pytest.approx(34.1514, abs=1e-4)


def test_psnr_does_not_wrap_around():
    assert psnr(np.zeros((4, 4), np.uint8), np.full((4, 4), 255, np.uint8)) == pytest.approx(0)


def test_psnr_of_equal_planes_is_infinite():
    assert psnr(PLANE, PLANE) == float("inf")


def test_ssim_of_equal_planes_is_one():
    assert ssim(PLANE, PLANE) == pytest.approx(1)


def test_ssim_of_flat_planes_is_its_luminance_term():
    # Without variance only (2ab + c1) / (a^2 + b^2 + c1) is left, with c1 = (0.01 * 255)^2.
    a, b, c1 = 100, 120, 2.55**2
    expected = (2 * a * b + c1) / (a * a + b * b + c1)
    flat = np.full((32, 32), a, np.uint8), np.full((32, 32), b, np.uint8)
    assert ssim(*flat) == pytest.approx(expected, abs=1e-6)


def test_ssim_falls_with_noise():
    noise = np.random.default_rng(1).integers(-20, 21, PLANE.shape)
    noisy = np.clip(PLANE + noise, 0, 255).astype(np.uint8)
    assert 0.5 < ssim(PLANE, noisy) < 0.999


def test_luma_is_the_first_two_thirds_of_the_rows():
    picture = np.arange(6 * 4, dtype=np.uint8).reshape(6, 4)
    assert np.array_equal(luma(picture), picture[:4])
