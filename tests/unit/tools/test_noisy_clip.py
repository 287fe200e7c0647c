import cv2
import numpy as np
import pytest
from yardstick.clips import add_noise, find_clips, fitted, noisy_clip, to_yuv420p

GRAY = np.full((3, 64, 96, 3), 128, np.uint8)


def write_pictures(folder, count=3, size=(96, 64)):
    folder.mkdir()
    for index in range(count):
        cv2.imwrite(str(folder / f"{index:03}.png"), np.full((size[1], size[0], 3), 100 + index, np.uint8))
    return folder


@pytest.mark.parametrize("sigma", [5, 10, 25])
def test_noise_has_the_sigma_asked_for(sigma):
    noise = add_noise(GRAY, sigma, seed=0).astype(np.float64) - GRAY
    assert noise.std() == pytest.approx(sigma, rel=0.02)
    assert noise.mean() == pytest.approx(0, abs=0.02 * sigma)


def test_noise_is_white_and_of_its_own_in_every_frame_and_component():
    noise = add_noise(GRAY, 20, seed=0).astype(np.float64) - GRAY

    def correlation(a, b):
        return abs(np.corrcoef(a.ravel(), b.ravel())[0, 1])

    # 6144 samples correlate by chance with a standard deviation of 0.013.
    assert correlation(noise[0], noise[1]) < 0.06
    assert correlation(noise[0, ..., 0], noise[0, ..., 1]) < 0.06
    assert correlation(noise[:, :, 1:], noise[:, :, :-1]) < 0.06


def test_same_seed_same_noise_whatever_the_number_of_frames():
    assert np.array_equal(add_noise(GRAY, 10, seed=7), add_noise(GRAY, 10, seed=7))
    assert np.array_equal(add_noise(GRAY[:2], 10, seed=7), add_noise(GRAY, 10, seed=7)[:2])
    assert not np.array_equal(add_noise(GRAY, 10, seed=7), add_noise(GRAY, 10, seed=8))


def test_noise_is_clipped_not_wrapped():
    white = np.full((1, 32, 32, 3), 255, np.uint8)
    assert add_noise(white, 25, seed=0).min() > 100


def test_conversion_is_limited_range_bt709():
    colours = np.array([[0, 0, 0], [255, 255, 255], [255, 0, 0]], np.uint8)
    pictures = to_yuv420p(np.tile(colours[:, None, None], (1, 16, 16, 1)))
    found = [(p[0, 0], p.reshape(-1)[256], p.reshape(-1)[256 + 64]) for p in pictures]
    # Red: Y = 16 + 219 * 0.2126, U = 128 - 224 * 0.2126 / 1.8556, V = 128 + 224 / 2.
    expected = [(16, 128, 128), (235, 128, 128), (63, 102, 240)]
    assert np.abs(np.array(found, int) - np.array(expected)).max() <= 1


def test_larger_clips_shrink_to_fit_and_smaller_ones_stay():
    assert fitted(np.zeros((1, 480, 854, 3), np.uint8), (640, 360)).shape == (1, 360, 640, 3)
    assert fitted(np.zeros((1, 400, 400, 3), np.uint8), (640, 360)).shape == (1, 360, 360, 3)
    assert fitted(np.zeros((1, 181, 321, 3), np.uint8), (640, 360)).shape == (1, 180, 320, 3)


def test_a_clip_from_a_folder_of_pictures(tmp_path):
    folder = write_pictures(tmp_path / "clip")
    clip = noisy_clip(folder, (48, 32), frames=2, sigma=10, seed=0)
    assert (clip.name, clip.size) == ("clip", (48, 32))
    assert clip.clean.shape == clip.noisy.shape == (2, 48, 48)
    # White RGB noise has 0.75 of its sigma in BT.709 luma, and 219 / 255 of that in limited range.
    noise = clip.noisy[:, :32].astype(np.float64) - clip.clean[:, :32]
    assert noise.std() == pytest.approx(10 * 0.748 * 219 / 255, rel=0.05)


def test_clips_are_found_in_files_and_folders(tmp_path):
    folder = write_pictures(tmp_path / "b_clip")
    film = tmp_path / "a.mp4"
    film.touch()
    (tmp_path / "notes.txt").touch()
    assert find_clips([tmp_path]) == [film, folder]
    assert find_clips([folder, film]) == [folder, film]
