import cameras
import numpy as np
import pytest
import torch
from cameras import h264, mjpeg, through_encoder

from malle_rt.net.noise import Planes420


@pytest.fixture
def planes():
    """A gray ramp with noise: 12 frames of 96 x 96."""
    generator = torch.Generator().manual_seed(0)
    ramp = torch.linspace(0.2, 0.8, 96).expand(12, 1, 96, 96)
    noisy = ramp + torch.randn(ramp.shape, generator=generator) * 10 / 255
    colour = torch.tensor([0.3, 0.7]).view(1, 2, 1, 1).expand(12, 2, 48, 48)
    return Planes420(*(plane.mul(255).round().div(255) for plane in (noisy, colour)))


def pictures(planes):
    return cameras._pictures(planes)


def changed(before, after):
    return float(np.square(before.astype(float) - after).mean() ** 0.5)


def test_planes_come_back_as_they_were(planes):
    again = cameras._planes(pictures(planes), planes)
    assert torch.equal(again.y, planes.y)
    assert torch.equal(again.uv, planes.uv)


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (lambda raw: h264(raw, crf=10), lambda raw: h264(raw, crf=35)),
        (lambda raw: mjpeg(raw, quantiser=2), lambda raw: mjpeg(raw, quantiser=25)),
    ],
    ids=["h264", "mjpeg"],
)
def test_every_frame_comes_back_the_worse_the_harder_it_was_pressed(planes, good, bad):
    raw = pictures(planes)
    well, badly = good(raw), bad(raw)
    assert well.shape == badly.shape == raw.shape
    assert 0 < changed(raw, well) < 3
    assert changed(raw, badly) > 2 * changed(raw, well)


def test_frames_keep_their_order():
    steps = np.repeat(np.arange(30, 230, 20, dtype=np.uint8), 96 * 96 * 3 // 2).reshape(-1, 144, 96)
    for coded in (h264(steps, crf=18), mjpeg(steps, quantiser=3)):
        assert np.abs(coded.mean((1, 2)) - steps.mean((1, 2))).max() < 2


@pytest.mark.slow
def test_a_seed_draws_one_encoder_and_seeds_differ(planes):
    def once(seed):
        return through_encoder(planes, torch.Generator().manual_seed(seed))

    assert float((once(1).y - once(1).y).abs().mean()) < 0.5 / 255, "x264 itself may differ a little"
    results = [once(seed) for seed in range(6)]
    assert len({result.y.numpy().tobytes() for result in results}) == 6
    for result in results:
        assert result.y.shape == planes.y.shape
        assert result.uv.shape == planes.uv.shape
        assert float((result.uv - planes.uv).abs().max()) < 12 / 255, "colours stay where they were"
