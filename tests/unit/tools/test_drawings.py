import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from drawings import FASTEST, MOST, WINDOW, draw, filmed
from trainset import load_clip, load_stills

DRAWINGS = Path(__file__).parents[3] / "tools" / "drawings.py"


def run(*words):
    command = [sys.executable, DRAWINGS, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.slow
def test_pictures_repeat_with_the_seed_and_differ_from_each_other(tmp_path):
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert run(tmp_path / folder, "--count", 2, "--seed", seed).returncode == 0
    first, again, other = (load_stills(tmp_path / name) for name in "abc")
    assert [picture.shape for picture in first] == [(480, 480, 3)] * 2
    assert all(np.array_equal(*pair) for pair in zip(first, again, strict=True))
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first[0], other[0])


@pytest.mark.slow
def test_a_drawing_is_flat_but_for_steep_edges():
    rng = np.random.default_rng(3)
    steps = [np.abs(np.diff(draw(rng).astype(int), axis=1)).max(-1) for _ in range(6)]
    assert np.mean([step <= 1 for step in steps]) > 0.7
    assert all(np.mean(step > 60) > 0.001 for step in steps)


@pytest.mark.slow
def test_a_clip_shows_a_picture_through_a_moving_window(tmp_path):
    assert run(tmp_path, "--count", 2, "--frames", 3).returncode == 0
    standing, moving = (load_clip(path) for path in sorted(tmp_path.iterdir()))
    assert standing.shape == moving.shape == (3, *WINDOW, 3)
    assert np.array_equal(standing[0], standing[2])
    assert np.array_equal(moving[0][:, 2:], moving[2][:, :-2])
    assert not np.array_equal(moving[0], moving[2])


def test_the_window_stays_inside():
    picture = np.zeros((480, 480, 3), np.uint8)
    assert filmed(picture, FASTEST, MOST)[-1].shape == (*WINDOW, 3)
    with pytest.raises(ValueError, match="leave a picture 480 wide"):
        filmed(picture, FASTEST, MOST + 1)


def test_too_many_frames_are_refused_before_anything_is_written(tmp_path):
    failed = run(tmp_path / "out", "--frames", MOST + 1)
    assert failed.returncode == 2
    assert f"1 to {MOST}" in failed.stderr.splitlines()[-1]
    assert not (tmp_path / "out").exists()
