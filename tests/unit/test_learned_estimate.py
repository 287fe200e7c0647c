import re
from fractions import Fraction

import numpy as np
import pytest
from media import read_frames, write_planes

from malle_rt.errors import KernelError
from malle_rt.estimate import estimate_sigma
from malle_rt.learned_estimate import WITNESSES, NoiseEstimator, _alignment
from malle_rt.media.file_source import FileSource
from malle_rt.models import engines_folder, weights_file
from malle_rt.noise_features import COUNT, features
from malle_rt.ops.native import extension_path

needs_search = pytest.mark.skipif(extension_path() is None, reason="the search is part of the extension")


def picture(size=(288, 448), seed=3):
    """Patches of many sizes on a slope, as drawn; float, 8-bit scale."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: size[0], : size[1]]
    scene = 90 + 60 * rows / size[0]
    for _ in range(60):
        top, left = rng.integers(0, size[0]), rng.integers(0, size[1])
        height, width = rng.integers(6, 70, 2)
        scene[top : top + height, left : left + width] += rng.uniform(-45, 45)
    return np.clip(scene + 6 * np.sin(columns / 3) * (rows > size[0] // 2), 30, 220)


def planes(luma, sigma, seed, chroma_sigma=0.0):
    """Codes of a luma (float) with white noise, and of gray chroma."""
    rng = np.random.default_rng(seed)
    half = (-(-luma.shape[0] // 2), -(-luma.shape[1] // 2))
    floats = [luma + rng.normal(0, sigma, luma.shape)]
    floats += [128 + rng.normal(0, chroma_sigma, half) for _ in "uv"]
    return tuple(np.clip(np.rint(each), 0, 255).astype(np.uint8) for each in floats)


def told(frames, bits=8, **options):
    """What is told of each of the frames (Y, U, V)."""
    estimator = NoiseEstimator(**options)
    return [estimator.update(lambda frame=frame: frame, bits) for frame in frames]


def smoothed(luma, sigma, seed):
    """Noise that has been through a camera: next to nothing is left of it in the finest details."""
    noise = np.random.default_rng(seed).normal(0, sigma, luma.shape)
    soft = sum(np.roll(noise, (down, across), (0, 1)) for down in (0, 1, 2) for across in (0, 1, 2)) / 9
    return planes(luma + soft, 0, seed)


@needs_search
@pytest.mark.parametrize("sigma", [2, 5, 10, 25, 50])
@pytest.mark.parametrize("step", [0, 3], ids=["still", "moving"])
def test_white_noise_is_told_as_the_classical_estimate_does(sigma, step):
    wide = picture((288, 480))
    frames = [planes(wide[:, step * n : step * n + 448], sigma, n, 0.7 * sigma) for n in range(WITNESSES + 1)]
    found, judge = told(frames)[-1], np.median([estimate_sigma(frame[0]) for frame in frames])
    assert found.luma == pytest.approx(judge, rel=0.25)
    assert found.chroma == pytest.approx(0.7 * sigma, rel=0.35)
    assert found.coarse < 0.15
    # The network takes white noise away best when it is told a little less.
    assert 0.6 * judge < found.sigma < 1.3 * judge


@needs_search
@pytest.mark.parametrize("step", [0, 3], ids=["still", "moving"])
def test_smoothed_noise_is_told_whatever_moves(step):
    wide = picture((288, 480))
    frames = [smoothed(wide[:, step * n : step * n + 448], 24, n) for n in range(WITNESSES + 1)]
    assert np.median([estimate_sigma(frame[0]) for frame in frames]) < 3, "one picture cannot tell"
    found = told(frames)[-1]
    assert found.luma == pytest.approx(8, rel=0.4)
    assert found.coarse > 0.3
    assert 4 < found.sigma < 30


@needs_search
@pytest.mark.parametrize("step", [0, 3], ids=["still", "moving"])
@pytest.mark.parametrize("crf", [None, 23])
def test_clean_pictures_have_next_to_none(step, crf, tmp_path):
    wide = picture((288, 480))
    frames = [planes(wide[:, step * n : step * n + 448], 0, n) for n in range(WITNESSES + 2)]
    if crf is not None:
        frames = encoded(tmp_path / "clip.mkv", frames, crf=crf)
    assert told(frames)[-1].sigma < 0.5


def encoded(path, frames, rate=25, crf=16):
    """Planes as an encoder leaves them."""
    options = {"crf": str(crf), "preset": "veryfast"}
    write_planes(path, frames, "yuv420p", fps=Fraction(rate), codec="libx264", options=options)
    return [frame.planes for frame in read_frames(FileSource(path))[0]]


@needs_search
@pytest.mark.parametrize("repeats", [(2,), (3, 2), (4,)], ids=["30 in 60", "24 in 60", "15 in 60"])
@pytest.mark.parametrize("soft", [True, False], ids=["smoothed", "white"])
def test_repeated_pictures_that_an_encoder_has_altered_do_not_lower_the_estimate(tmp_path, repeats, soft):
    clean = picture((192, 320))
    pictures = [(smoothed if soft else planes)(clean, 18, n) for n in range(24)]
    repeated = [each for n, each in enumerate(pictures) for _ in range(repeats[n % len(repeats)])]
    once, several = (
        [noise.luma for noise in told(encoded(tmp_path / f"{name}.mkv", frames, 60))]
        for name, frames in (("once", pictures), ("repeated", repeated))
    )
    assert once[-1] > 3
    assert min(several[8:]) > 0.6 * once[-1]


def test_one_picture_tells_of_white_noise():
    frame = planes(picture(), 12, 0)
    (found,) = told([frame])
    assert found.luma == found.sigma == pytest.approx(12, rel=0.15)


def test_black_frames_tell_nothing_and_the_next_one_is_looked_at():
    black = planes(np.full((64, 64), 16.0), 0, 0)
    frames = [*[black] * 7, *(planes(np.full((64, 64), 120.0), 15, n) for n in range(5)), *[black] * 40]
    found = told(frames)
    assert found[:7] == [None] * 7
    assert found[7].sigma == pytest.approx(15, rel=0.15)
    assert len(set(found[14:])) == 1, "black pictures leave it as it is"


def test_a_steady_scene_does_not_flicker():
    clean = picture((192, 320))
    found = [noise.sigma for noise in told([planes(clean, 6, n) for n in range(60)])]
    assert np.abs(np.diff(found[WITNESSES:]) / found[WITNESSES:-1]).max() < 0.02


@pytest.mark.parametrize(("before", "after"), [(4, 16), (16, 4)])
@pytest.mark.parametrize("phase", [0, 5])
def test_a_change_of_the_light_is_followed_within_a_second_without_a_jump(before, after, phase):
    clean = picture((192, 320))
    sigmas = [before] * (16 + phase) + [after] * 40
    found = [noise.luma for noise in told([planes(clean, sigma, n) for n, sigma in enumerate(sigmas)])]
    assert found[-1] == pytest.approx(after, rel=0.3)
    assert np.abs(np.diff(found[WITNESSES:])).max() < 0.2 * abs(after - before)


def test_another_shot_is_measured_at_once_but_a_black_one_keeps_the_last_estimate():
    estimator, clean = NoiseEstimator(), picture((192, 320))
    for n in range(3):
        before = estimator.update(lambda n=n: planes(clean, 4, n), 8)
    estimator.restart()
    black = planes(np.full((192, 320), 16.0), 0, 0)
    assert estimator.update(lambda: black, 8).luma == pytest.approx(before.luma)
    assert estimator.update(lambda: planes(clean, 16, 9), 8).luma == pytest.approx(16, rel=0.2)


@needs_search
def test_a_shot_that_is_cleaner_is_known_by_its_second_frame():
    estimator, clean = NoiseEstimator(), picture()
    for n in range(8):
        estimator.update(lambda n=n: planes(clean, 20, n), 8)
    estimator.restart()
    after = [estimator.update(lambda n=n: planes(clean[::-1], 3, 50 + n), 8).luma for n in range(4)]
    assert after[0] > 15, "a burst of noise at each cut would be seen"
    assert after[1:] == pytest.approx([3] * 3, rel=0.35)


def test_frames_between_two_looks_are_not_touched():
    def untouchable():
        raise AssertionError("looked at")

    estimator = NoiseEstimator(every=WITNESSES + 2)
    for n in range(WITNESSES):
        last = estimator.update(lambda n=n: planes(np.full((64, 64), 120.0), 15, n), 8)
    assert estimator.update(untouchable, 8) == estimator.update(untouchable, 8) == last
    with pytest.raises(AssertionError, match="looked at"):
        estimator.update(untouchable, 8)


@pytest.mark.parametrize("place", [1, 3, 5, 9, 13])
def test_who_goes_on_from_what_was_saved_tells_the_same(place):
    frames = [planes(picture((192, 320)), 8, n) for n in range(20)]
    one, other = NoiseEstimator(), NoiseEstimator()
    for frame in frames[:place]:
        one.update(lambda frame=frame: frame, 8)
    other.restore(one.saved())
    for frame in frames[place:]:
        assert other.update(lambda frame=frame: frame, 8) == one.update(lambda frame=frame: frame, 8)


@pytest.mark.parametrize("size", [(10, 12), (34, 50), (63, 401), (33, 700)])
@pytest.mark.parametrize("bits", [8, 10])
def test_small_and_odd_pictures_have_an_estimate(size, bits):
    frames = [planes(np.full(size, 128.0), 10, n) for n in range(6)]
    if bits > 8:
        frames = [tuple(plane.astype(np.uint16) << (bits - 8) for plane in frame) for frame in frames]
    assert told(frames, bits)[-1].luma == pytest.approx(10, rel=0.5)


@needs_search
def test_a_size_that_changes_is_measured_anew():
    clean = picture()
    frames = [planes(clean, 8, n) for n in range(3)] + [planes(clean[:192, :320], 8, n) for n in range(9)]
    assert told(frames)[-1].luma == pytest.approx(8, rel=0.3)


def test_without_the_search_each_picture_tells_of_white_noise(monkeypatch):
    def refuse(*_):
        raise KernelError("there is no extension")

    monkeypatch.setattr("malle_rt.learned_estimate.Alignment", refuse)
    _alignment.cache_clear()
    found = told([planes(picture(), 12, n) for n in range(14)])
    _alignment.cache_clear()
    assert [noise.sigma for noise in found] == pytest.approx([12] * 14, rel=0.15)


def test_clipped_pictures_have_no_features():
    black = np.full((64, 64), 16, np.float32), np.full((2, 32, 32), 128, np.float32)
    gray = black[0] + 100, black[1]
    assert features(black, black) is None
    found = features(gray, gray)
    assert found.shape == (COUNT,)
    assert np.isfinite(found).all()


def test_the_weights_have_a_card_that_says_what_they_are():
    with np.load(weights_file("noise")) as file:
        assert file["mean"].shape == file["spread"].shape == (COUNT,)
        numbers = sum(file[name].size for name in file.files)
    card = (engines_folder() / "noise.md").read_text()
    assert f"{numbers:,} numbers" in re.sub(r"\s+", " ", card)
    for word in ("tools/train_noise.py", "Licence", "seed"):
        assert word in card
