"""Clips recorded by the camera model, for the comparison."""

import numpy as np
import pytest
from yardstick.clips import Camera, CleanClip, White, busiest_and_calmest, camera_clip, moves, noise_level

TEXTURE = np.random.default_rng(1).integers(0, 256, (64, 96, 3), np.uint8)
STILL = np.stack([TEXTURE] * 3)
PAN = np.stack([np.roll(TEXTURE, 2 * step, 1) for step in range(3)])


@pytest.mark.slow
@pytest.mark.parametrize("camera", ["phone", "tape"])
def test_the_same_seed_records_the_same_and_another_does_not(camera):
    clip = CleanClip("pan", PAN)
    one, again, other = (camera_clip(clip, camera, seed) for seed in (1, 1, 2))
    assert one.noisy.shape == one.clean.shape == (3, 96, 96) and one.moving
    assert (one.clean == again.clean).all() and (one.clean != other.clean).any()
    assert noise_level(one) >= 0.5


def test_sides_become_multiples_of_four():
    assert camera_clip(CleanClip("odd", STILL[:, :62, :94]), "film", 0).size == (92, 60)


def test_a_pan_moves_and_a_still_camera_does_not():
    assert moves(PAN) and not moves(STILL)


def test_the_parts_are_where_it_moves_and_where_it_does_not():
    clip = np.concatenate((STILL, PAN), 2)
    busy, calm = busiest_and_calmest(clip, (48, 32))
    assert moves(busy) and not moves(calm)
    assert busy.shape == calm.shape == (3, 32, 48, 3)


def test_tools_are_tuned_for_each_recording_but_once_for_white_noise():
    clips = [CleanClip(name, STILL) for name in "ab"]
    white, tape = White(20.0), Camera("tape")
    assert len(white.tuned_together([white.noisy(clip, 0) for clip in clips])) == 1
    assert len(tape.tuned_together([tape.noisy(clip, 0) for clip in clips])) == 2
    assert noise_level(white.noisy(clips[0], 0)) == pytest.approx(20, rel=0.15), "clipping takes some of it"
