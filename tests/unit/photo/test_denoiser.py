import numpy as np
import pytest

from malle_rt.backends.openvino_photo import OpenVinoPhotoNet
from malle_rt.errors import ConfigError
from malle_rt.photo import denoiser as module
from malle_rt.photo.denoiser import ArrayCanvas, PhotoDenoiser, denoise_array
from malle_rt.photo.noise import Treatment, found_noise, treatment


def scene(rows, columns, seed=0):
    """Waves, edges and flat parts, (rows, columns, 3) on the 8-bit scale."""
    y, x = np.mgrid[:rows, :columns]
    waves = np.stack([60 * np.sin(x / (9 + 4 * k)) * np.cos(y / 31) for k in range(3)], -1)
    flat = (np.sin(x / 71) * np.sin(y / 53) > 0)[..., None]
    edges = 40.0 * ((x // 40 + y // 56) % 2)[..., None]
    return np.where(flat, 110 + edges, 120 + waves)


def noisy(picture, sigma, seed=0):
    rng = np.random.default_rng(seed)
    return np.clip(np.rint(picture + rng.normal(0, sigma, picture.shape)), 0, 255).astype(np.uint8)


def error(picture, clean):
    return float(np.sqrt(np.mean((picture.astype(float) - clean) ** 2)))


@pytest.fixture(scope="module")
def small():
    denoiser = PhotoDenoiser("mallenet-s", threads=2)
    yield denoiser
    denoiser.close()


def run(denoiser, picture, strength="auto", mix=1.0):
    clean = picture.copy()
    return clean, denoiser.denoise(ArrayCanvas(clean), strength, mix)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (65, 97), (64, 64)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [(), (3,)])
def test_any_size_depth_and_colour_comes_back_as_it_was(small, size, dtype, channels):
    picture = np.random.default_rng(0).integers(0, 200, (*size, *channels)).astype(dtype)
    before = picture.copy()
    clean, _ = run(small, picture, 10)
    assert clean.shape == picture.shape and clean.dtype == dtype
    assert np.array_equal(picture, before)


@pytest.mark.parametrize("sigma", [8, 25])
def test_white_noise_is_found_and_taken_away(small, sigma):
    truth = scene(256, 320)
    picture = noisy(truth, sigma)
    clean, found = run(small, picture)
    assert abs(found - sigma) < 0.15 * sigma
    assert error(clean, truth) < 0.45 * error(picture, truth)


def test_gray_pictures_are_cleaned_too(small):
    """Their noise is one and the same in R, G and B: the network alone takes it for texture."""
    truth = scene(256, 320)[..., 0]
    picture = noisy(truth, 20)
    clean, found = run(small, picture)
    assert abs(found - 20) < 3
    assert error(clean, truth) < 0.5 * error(picture, truth)
    as_rgb, _ = run(small, np.repeat(picture[..., None], 3, -1))
    assert np.abs(as_rgb.astype(int).mean(-1) - clean).max() <= 1


def test_a_strength_is_what_a_channel_shows_where_the_noise_is_in_luma_alone(small):
    truth = scene(256, 320)
    luma = np.random.default_rng(1).normal(0, 15, (256, 320, 1))
    picture = np.clip(np.rint(truth + luma), 0, 255).astype(np.uint8)
    clean, told = run(small, picture, 15)
    assert told == 15 and error(clean, truth) < 0.5 * error(picture, truth)
    assert abs(run(small, picture)[1] - 15) < 2.5, "and auto tells it so"


def coarse_noise(shape, sigma):
    """As a camera leaves it: its finest details smoothed away."""
    rng = np.random.default_rng(3)
    fine = rng.normal(0, 1, shape)
    smooth = sum(np.roll(fine, (dy, dx), (0, 1)) for dy in range(3) for dx in range(3))
    return smooth * (sigma / smooth.std())


def test_noise_that_a_camera_has_smoothed_is_found_and_taken_away(small):
    truth = np.full((384, 384, 3), 110.0)
    picture = np.clip(np.rint(truth + coarse_noise(truth.shape, 6)), 0, 255).astype(np.uint8)
    clean, found = run(small, picture)
    assert found > 6
    assert error(clean, truth) < 0.6 * error(picture, truth)


def test_clean_pictures_stay_as_they_are(small):
    picture = np.rint(scene(256, 320)).astype(np.uint8)
    clean, found = run(small, picture)
    assert found is None and np.array_equal(clean, picture)


@pytest.mark.slow
@pytest.mark.slow
def test_tiles_join_without_a_seam(small, monkeypatch):
    """Against the network over the whole picture, within half a code value; read and written in place."""
    monkeypatch.setattr(module, "TILE", 256)
    for strength, sigma in (("auto", 40), (30, 2)):  # without and with noise that is added
        picture = noisy(scene(400, 530), sigma)
        tiled = picture.astype(np.uint16) * 257
        small.denoise(ArrayCanvas(tiled), strength)
        monkeypatch.setattr(module, "TILE", 768)
        whole = picture.astype(np.uint16) * 257
        small.denoise(ArrayCanvas(whole), strength)
        monkeypatch.setattr(module, "TILE", 256)
        difference = np.abs(tiled.astype(int) - whole) / 257
        assert difference.max() <= 0.5, (strength, difference.max())


def test_one_tile_is_the_network_itself(small):
    picture = noisy(scene(128, 192), 25)
    wanted = OpenVinoPhotoNet("mallenet-s").run(picture.astype(np.float32) / 255)
    clean, _ = run(small, picture)
    assert np.abs(clean - wanted * 255).max() <= 0.501


def test_mix_and_a_weak_strength_leave_a_share_of_the_noise(small):
    picture = noisy(scene(128, 192), 20)
    clean, _ = run(small, picture)
    half, _ = run(small, picture, mix=0.5)
    assert np.abs(half - (picture / 2 + clean / 2)).max() <= 1
    weak, told = run(small, picture, 5)
    assert told == 5 and 0.15 < error(weak, picture) / error(clean, picture) < 0.4
    assert run(small, picture, 0)[1] is None and run(small, picture, mix=0)[1] is None


def test_words_are_shares_of_what_is_found():
    found = found_noise(noisy(scene(256, 256), 12).astype(np.float32))
    sigmas = {word: treatment(found, word, 1.0).sigma for word in ("light", "auto", "strong")}
    assert sigmas["light"] == pytest.approx(0.6 * sigmas["auto"])
    assert sigmas["strong"] == pytest.approx(1.5 * sigmas["auto"])
    assert treatment(found, "auto", 0.5).share == 0.5
    assert treatment(found, "strong", 1.0).added[0] > treatment(found, "auto", 1.0).added[0] == 0
    assert isinstance(treatment(found, 75.0, 1.0), Treatment)


def test_what_is_no_picture_is_refused():
    for wrong in (np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4), np.float32), np.zeros((0, 4), np.uint8)):
        with pytest.raises(ConfigError, match=r"a picture must be \(H, W, 3\) RGB or \(H, W\) gray"):
            denoise_array(wrong)
    picture = np.zeros((4, 4), np.uint8)
    with pytest.raises(
        ConfigError, match="no model 'rt-s' for photographs; there are: mallenet-m, mallenet-s"
    ):
        denoise_array(picture, model="rt-s")
    with pytest.raises(ConfigError, match="strength must be auto"):
        denoise_array(picture, strength="much")
    with pytest.raises(ConfigError, match="mix must be 0 to 1"):
        denoise_array(picture, mix=2)
