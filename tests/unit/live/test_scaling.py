"""The share of the size: right pictures, and the largest share that keeps the rate."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from malle_rt.errors import ConfigError
from malle_rt.frame import VideoInfo
from malle_rt.live.control import Controls, Tuning
from malle_rt.live.denoiser import LiveDenoiser
from malle_rt.live.scaling import (
    SCALES,
    SizeKeeper,
    fitting,
    largest_fitting,
    noise_frames,
    scaled_frame,
    scaled_size,
)

INFO = VideoInfo(1280, 720, "yuv420p", Fraction(1, 90000), frame_rate=Fraction(30))


@pytest.mark.parametrize(
    ("scale", "size", "wanted"),
    [
        ("1", (641, 359), (641, 359)),
        ("1/2", (1280, 720), (640, 360)),
        ("3/4", (1280, 720), (960, 540)),
        ("1/3", (1280, 720), (426, 240)),
        ("1/4", (100, 60), (32, 32)),
        ("1/4", (16, 16), (16, 16)),
    ],
)
def test_sizes_are_even_and_not_too_small(scale, size, wanted):
    assert scaled_size(*size, scale) == wanted


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuvj420p"])
@pytest.mark.parametrize("fields", [None, "top"])
def test_a_smaller_frame_shows_the_same(pix_fmt, fields):
    """A ramp stays a ramp, of the same levels whatever the range; an interlaced one keeps its fields apart."""
    luma = np.tile(np.linspace(20, 220, 160).astype(np.uint8), (96, 1))
    if fields:
        luma[1::2] = 0
    chroma = (np.full((48, 80), 100, np.uint8),) * 2
    frame = replace(noise_frames(160, 96, 1)[0], planes=(luma, *chroma), pix_fmt=pix_fmt, fields=fields)
    small = scaled_frame(frame, "1/2")
    assert (small.width, small.height, small.pix_fmt) == (80, 48, pix_fmt) and small.pts == frame.pts
    assert np.abs(small.planes[0][::2].astype(int) - np.linspace(20, 220, 80)).max() < 6
    assert np.all(small.planes[1] == 100)
    if fields:
        assert np.all(small.planes[0][1::2] == 0)
    assert scaled_frame(frame, "1") is frame


def test_the_largest_share_that_fits_is_chosen():
    assert largest_fitting(0.020, "1", 30) == "1"
    assert largest_fitting(0.040, "1", 30) == "3/4"
    assert largest_fitting(0.100, "1", 30) == "1/2"
    assert largest_fitting(9.0, "1", 30) == "1/4"
    assert largest_fitting(0.005, "1/2", 30) == "1"


@pytest.mark.parametrize(
    ("scale", "speed", "wanted"),
    [
        ("1", 1, ("rt-s", "1")),
        ("auto", 1, ("rt-s", "3/4")),
        ("auto", 0.1, ("rt-m", "1")),
        ("1/2", 0.1, ("rt-l", "1/2")),
    ],
)
def test_the_best_network_that_keeps_the_rate_comes_before_the_size(scale, speed, wanted):
    """Of rt-s with 40 ms at 720p, and two that cost 4 and 10 times of that; 30 frames a second."""
    asked = []

    def seconds_of(model, width, height):
        asked.append(model)
        return speed * 0.040 * {"rt-l": 10, "rt-m": 4, "rt-s": 1}[model] * width * height / (1280 * 720)

    model, share, seconds = fitting(INFO, ("rt-s", "rt-m", "rt-l"), scale, seconds_of)
    assert (model, share) == wanted and asked == ["rt-s", "rt-m", "rt-l"][: len(asked)]
    assert seconds <= 0.8 / 30 or scale == "1"


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def looked(keeper, clock, seconds, rate=30.0, wait=3.0):
    """A few frames that took so long, and a look some seconds later."""
    for _ in range(24):
        keeper.add(seconds)
    clock.now += wait
    return keeper.look(rate)


def test_the_size_follows_the_time_it_takes_and_does_not_swing():
    clock = Clock()
    keeper = SizeKeeper("1", clock)
    assert not looked(keeper, clock, 0.020)
    assert looked(keeper, clock, 0.060) and keeper.scale == "1/2"
    assert not looked(keeper, clock, 0.012), "it would fit at 3/4, but only just"
    assert not looked(keeper, clock, 0.004, wait=1.0), "not yet"
    assert looked(keeper, clock, 0.004, wait=11.0) and keeper.scale == "1"
    assert not looked(keeper, clock, 0.060, rate=0.0), "a lost camera has no rate"


def test_the_denoiser_takes_the_share_that_is_chosen_and_shows_both_pictures_in_it():
    controls = Controls(Tuning(scale="1/2"))
    denoiser = LiveDenoiser(None, controls)
    frame = noise_frames(160, 96, 1)[0]
    clean = denoiser.start(frame)()
    assert (clean.width, clean.raw.width) == (80, 80)
    controls.set_scale("1")
    assert denoiser.start(frame)().width == 160
    with pytest.raises(ConfigError, match="one of auto, 1, 3/4"):
        controls.set_scale("2")
    seen = [controls.next_scale() or controls.tuning.scale for _ in SCALES]
    assert set(seen) == set(SCALES)
