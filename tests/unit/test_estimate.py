from fractions import Fraction

import numpy as np
import pytest
from media import read_frames, write_planes

from malle_rt.estimate import SigmaEstimator, estimate_sigma
from malle_rt.media.file_source import FileSource


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


def test_black_frames_tell_nothing():
    black = np.full((64, 64), 16, np.uint8)
    estimator = SigmaEstimator()
    assert estimator.update([black], 8) is None
    first = estimator.update([noisy(np.full((64, 64), 120.0), 15)], 8)
    assert first == pytest.approx(15, rel=0.15)
    for _ in range(30):
        assert estimator.update([black], 8) == first


def test_a_steady_scene_does_not_flicker():
    estimator, clean = SigmaEstimator(), picture((180, 320))
    sigmas = np.array([estimator.update([noisy(clean, 6, seed=seed)], 8) for seed in range(120)])
    assert np.abs(np.diff(sigmas) / sigmas[:-1]).max() < 0.015
    assert sigmas == pytest.approx(np.full(120, 6), rel=0.1)


@pytest.mark.parametrize(("before", "after"), [(4, 16), (16, 4)])
@pytest.mark.parametrize("phase", [0, 1, 5])
def test_a_change_of_the_light_is_followed_within_a_second_without_a_jump(before, after, phase):
    estimator, clean = SigmaEstimator(), picture((180, 320))
    sigmas = [estimator.update([noisy(clean, before, seed=seed)], 8) for seed in range(16 + phase)]
    sigmas += [estimator.update([noisy(clean, after, seed=100 + seed)], 8) for seed in range(33)]
    assert abs(sigmas[-1] - after) < 0.15 * abs(after - before)
    assert np.abs(np.diff(sigmas)).max() < 0.15 * abs(after - before)


def test_a_fade_to_black_is_survived():
    estimator, clean = SigmaEstimator(), picture((180, 320))
    light = [*[1.0] * 10, *np.linspace(1, 0, 30), *[0.0] * 40, *np.linspace(0, 1, 30), *[1.0] * 33]
    sigmas = []
    for seed, share in enumerate(light):
        shot = noisy(clean, 8, seed=seed).astype(float)
        sigmas.append(estimator.update([np.rint(16 + (shot - 16) * share).astype(np.uint8)], 8))
    assert min(sigmas) > 0
    assert len(set(sigmas[45:80])) == 1, "black pictures leave it as it is"
    assert sigmas[-1] == pytest.approx(8, rel=0.1)


def test_another_shot_is_measured_at_once_but_a_black_one_keeps_the_last_estimate():
    estimator, clean = SigmaEstimator(), picture((180, 320))
    before = [estimator.update([noisy(clean, 4, seed=seed)], 8) for seed in range(3)]
    estimator.restart()
    assert estimator.update([np.full((180, 320), 16, np.uint8)], 8) == pytest.approx(before[-1])
    assert estimator.update([noisy(clean, 16)], 8) == pytest.approx(16, rel=0.1)


def smoothed(clean, sigma, seed):
    """White noise that has been through a camera: next to nothing is left of it in the finest details."""
    noise = np.random.default_rng(seed).normal(0, sigma, clean.shape)
    soft = sum(np.roll(noise, (down, across), (0, 1)) for down in (0, 1, 2) for across in (0, 1, 2)) / 9
    return np.clip(np.rint(clean + soft), 0, 255).astype(np.uint8)


def test_smoothed_noise_is_told_by_what_stands_still():
    estimator, clean = SigmaEstimator(), grass()
    sigmas = [estimator.update([smoothed(clean, 20, seed)], 8) for seed in range(40)]
    assert sigmas[0] < 5, "one picture cannot tell"
    assert sigmas[2:] == pytest.approx(np.full(38, 15), rel=0.2)


def encoded(path, pictures, rate):
    """Luma planes as an encoder leaves them."""
    chroma = [np.full((pictures[0].shape[0] // 2, pictures[0].shape[1] // 2), 128, np.uint8)] * 2
    options = {"crf": "16", "preset": "veryfast"}
    write_planes(
        path,
        [(each, *chroma) for each in pictures],
        "yuv420p",
        fps=Fraction(rate),
        codec="libx264",
        options=options,
    )
    return [frame.planes[0] for frame in read_frames(FileSource(path))[0]]


@pytest.mark.parametrize("repeats", [(2,), (3, 2), (4,)], ids=["30 in 60", "24 in 60", "15 in 60"])
@pytest.mark.parametrize("soft", [True, False], ids=["smoothed", "white"])
def test_repeated_pictures_that_an_encoder_has_altered_do_not_lower_the_estimate(tmp_path, repeats, soft):
    make = smoothed if soft else noisy
    rows, columns = np.mgrid[:192, :320] // 12
    clean = np.random.default_rng(0).uniform(60, 190, (16, 27))[rows, columns]  # patches, which stand still
    pictures = [make(clean, 18, seed=seed) for seed in range(24)]
    repeated = [each for number, each in enumerate(pictures) for _ in range(repeats[number % len(repeats)])]
    found = []
    for name, frames in (("once", pictures), ("repeated", repeated)):
        estimator = SigmaEstimator()
        found.append([estimator.update([luma], 8) for luma in encoded(tmp_path / f"{name}.mkv", frames, 60)])
    once, several = found
    assert once[-1] > 10
    assert several[8:] == pytest.approx(np.full(len(several) - 8, once[-1]), rel=0.2)


def test_where_everything_moves_one_picture_must_do():
    estimator, wide = SigmaEstimator(), picture((360, 1280))
    for seed in range(40):
        sigma = estimator.update([noisy(wide[:, 15 * seed : 15 * seed + 640], 5, seed=seed)], 8)
    assert sigma == pytest.approx(5, rel=0.3)


def test_a_cut_between_shots_of_one_camera_shows_no_burst_of_noise():
    estimator, first, second = SigmaEstimator(), grass(), grass()[::-1]
    before = [estimator.update([smoothed(first, 20, seed)], 8) for seed in range(16)]
    estimator.restart()
    after = [estimator.update([smoothed(second, 20, 50 + seed)], 8) for seed in range(16)]
    assert after == pytest.approx(np.full(16, before[-1]), rel=0.1)


def test_a_shot_that_is_cleaner_is_known_by_its_third_frame():
    estimator, clean = SigmaEstimator(), picture((360, 640))
    for seed in range(8):
        estimator.update([noisy(clean, 20, seed=seed)], 8)
    estimator.restart()
    after = [estimator.update([noisy(clean[::-1], 3, seed=50 + seed)], 8) for seed in range(4)]
    assert after[2:] == pytest.approx([3, 3], rel=0.2)


def test_what_stood_still_is_remembered_until_the_next_shot():
    estimator, wide = SigmaEstimator(), grass((360, 1280))
    still = [estimator.update([smoothed(wide[:, :640], 20, seed)], 8) for seed in range(16)]
    moving = [smoothed(wide[:, 15 * seed : 15 * seed + 640], 20, seed) for seed in range(1, 25)]
    assert [estimator.update([each], 8) for each in moving][-1] == pytest.approx(still[-1], rel=0.1)
    estimator.restart()
    assert [estimator.update([each], 8) for each in moving][-1] < 0.5 * still[-1]


def test_frames_between_two_looks_are_not_touched():
    class Untouchable:
        def __getitem__(self, index):
            raise AssertionError("looked at")

    lumas = [noisy(np.full((64, 64), 120.0), 15, seed=seed) for seed in range(5)]
    estimator = SigmaEstimator(every=7)
    first, *_ = (estimator.update([luma], 8) for luma in lumas)
    assert estimator.update(Untouchable(), 8) == estimator.update(Untouchable(), 8) == first
    with pytest.raises(AssertionError, match="looked at"):
        estimator.update(Untouchable(), 8)
