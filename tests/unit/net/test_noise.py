import numpy as np
import pytest
import torch

from malle_rt.net.noise import NoiseMix, degrade, rgb_to_planes

NOTHING = {"gaussian": 0.0, "poisson": 0.0, "planes": 0.0, "correlated": 0.0, "encoded": 0.0}


def gray_clip(value=0.5, size=64):
    return torch.full((4, 3, size, size), value)


def test_planes_agree_with_ffmpeg():
    av = pytest.importorskip("av")
    from av.video.reformatter import ColorRange, Colorspace

    rgb = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)
    frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(
        format="yuv444p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
    )
    wanted = frame.to_ndarray().astype(float)  # (3, H, W)
    got = rgb_to_planes(torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 255)
    assert np.abs(got.y[0, 0].numpy() * 255 - wanted[0]).max() <= 2  # swscale rounds in fixed point
    mean = wanted[1:].reshape(2, 16, 2, 24, 2).mean((2, 4))
    assert np.abs(got.uv[0].numpy() * 255 - mean).max() <= 2


def test_sigma_says_what_was_added():
    mix = NoiseMix(**NOTHING | {"planes": 1.0})
    for seed in range(5):
        noisy, clean, sigma = degrade(gray_clip(), mix, torch.Generator().manual_seed(seed))
        measured = (noisy.y - clean.y).std()
        assert float(sigma) == pytest.approx(float(measured), rel=0.02)
    assert torch.equal(noisy.y.mul(255).round(), noisy.y.mul(255)), "noisy planes lie on the 8-bit grid"


def test_nothing_asked_for_nothing_added_but_rounding():
    noisy, clean, sigma = degrade(gray_clip(0.3), NoiseMix(**NOTHING), torch.Generator().manual_seed(0))
    assert (noisy.y - clean.y).abs().max() <= 0.5 / 255 + 1e-6
    assert float(sigma) <= 0.5 / 255 + 1e-6


@pytest.mark.slow
def test_shot_noise_grows_with_light():
    mix = NoiseMix(**NOTHING | {"poisson": 1.0})
    clip = torch.cat((gray_clip(0.15), gray_clip(0.7)), -1)
    grows = []
    for seed in range(8):
        noisy, clean, _ = degrade(clip, mix, torch.Generator().manual_seed(seed))
        error = (noisy.uv - clean.uv).square().mean((0, 1, 2))
        grows.append(error[: 64 // 2].mean() != error[64 // 2 :].mean())
    assert all(grows)


def test_correlated_noise_is_correlated():
    def neighbours(correlated):
        mix = NoiseMix(**NOTHING | {"planes": 1.0, "correlated": correlated})
        found = []
        for seed in range(6):
            noisy, clean, _ = degrade(gray_clip(), mix, torch.Generator().manual_seed(seed))
            error = (noisy.y - clean.y)[:, 0]
            found.append(float((error[:, :, 1:] * error[:, :, :-1]).mean() / error.square().mean()))
        return np.array(found)

    assert np.abs(neighbours(0.0)).max() < 0.1
    assert np.median(neighbours(1.0)) > 0.2


def test_the_same_seed_gives_the_same_noise():
    first, second = (degrade(gray_clip(), NoiseMix(), torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(first[0].y, second[0].y)


@pytest.mark.slow
def test_a_share_is_encoded_and_told_down_to_half_of_its_noise():
    mix = NoiseMix(**NOTHING | {"planes": 1.0, "encoded": 0.5})
    seen = []

    def encode(planes, generator):
        seen.append(planes)
        return planes

    shares = []
    for seed in range(40):
        noisy, clean, sigma = degrade(gray_clip(), mix, torch.Generator().manual_seed(seed), encode)
        shares.append(float(sigma / (noisy.y - clean.y).square().mean().sqrt()))
    assert 10 <= len(seen) <= 30
    assert sum(share < 0.999 for share in shares) == len(seen)
    assert min(shares) >= 0.5
    assert torch.equal(seen[0].y.mul(255).round(), seen[0].y.mul(255)), "encoders take 8 bits"
