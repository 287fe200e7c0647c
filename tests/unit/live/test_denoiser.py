"""Shots are denoised as the controls say at that moment."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.live import shot

from malle_rt.backends.select import select_backend
from malle_rt.config import DenoiseConfig
from malle_rt.denoiser import FrameDenoiser
from malle_rt.live.control import Controls, Tuning
from malle_rt.live.denoiser import LiveDenoiser

SIZE = (128, 96)


@pytest.fixture(scope="module")
def frames():
    return [shot(index, size=SIZE, sigma=20.0) for index in range(6)]


@pytest.fixture
def live(any_generation):
    controls = Controls()
    config = DenoiseConfig(model=any_generation)
    inner = FrameDenoiser(select_backend(config).backend, config, watch=True)
    denoiser = LiveDenoiser(inner, controls)
    yield denoiser, controls
    denoiser.close()
    denoiser.close()


def difference(one, other):
    return np.abs(one.planes[0].astype(int) - other.planes[0].astype(int)).mean()


def test_the_raw_picture_stays_beside_the_clean_one(live, frames):
    denoiser, _ = live
    clean = denoiser.start(frames[0])()
    assert clean.raw is frames[0]
    assert (clean.pts, clean.captured) == (frames[0].pts, frames[0].captured)
    assert difference(clean, frames[0]) > 3
    assert 15 < clean.sigma == clean.estimated < 25


def test_a_change_counts_from_the_next_shot_on(live, frames):
    denoiser, controls = live
    controls.set_strength(30.0)
    assert denoiser.start(frames[0])().sigma == 30
    controls.set_strength(0)
    passed = denoiser.start(frames[1])()
    assert passed.sigma == 0
    assert difference(passed, frames[1]) == 0
    assert 15 < passed.estimated < 25  # still watched, for the display
    controls.set_strength("auto")
    controls.set_mix(0.5)
    half = denoiser.start(frames[2])()
    controls.set_mix(1.0)
    assert 0 < difference(half, frames[2]) < difference(denoiser.start(frames[3])(), frames[3])


def test_a_change_by_hand_begins_at_what_was_used(live, frames):
    denoiser, controls = live
    used = denoiser.start(frames[0])().sigma
    controls.change_strength(1)
    assert controls.tuning.strength == pytest.approx(used + 1)


def test_nothing_shows_through_from_before_a_reconnect(live, frames, monkeypatch):
    denoiser, controls = live
    monkeypatch.setattr(
        "malle_rt.denoiser.NoiseEstimator.update", lambda *_: None
    )  # of a video, not of a connection
    controls.set_strength(20.0)
    fresh = denoiser.start(frames[5])()
    for frame in frames[:5]:
        denoiser.start(replace(frame, connection=2))()
    assert difference(denoiser.start(replace(frames[5], connection=3))(), fresh) == 0
    other = frames[5].planes[0] ^ 1  # a duplicate, or almost one, would get the same result again
    frame = replace(frames[5], planes=(other, *frames[5].planes[1:]), connection=3)
    assert difference(denoiser.start(frame)(), fresh) > 0.2  # now with a past


def test_without_a_network_pictures_pass_through(frames):
    denoiser = LiveDenoiser(None, Controls(Tuning(strength=10)))
    passed = denoiser.start(frames[0])()
    assert passed.raw is frames[0]
    assert passed.planes is frames[0].planes
    assert denoiser.ahead == 0
    denoiser.close()
