"""Short runs of the tools that break inputs and kill runs, and mutants that are kept because they were once trouble."""

import random

import pytest
from fuzz_media import attempt, mutate, write_clip
from kill_runs import kill_runs

pytestmark = pytest.mark.slow  # runs the program over and over

# Container, encoder, seed of the mutant. One that ends badly is added here, so that it is tried for good.
CORPUS = [
    (".mp4", "libx264", "1 0"),
    (".mkv", "libx264", "1 1"),
    (".ts", "mpeg2video", "1 2"),
    (".avi", "mjpeg", "1 3"),
    (".nut", "ffv1", "1 4"),
    (".webm", "libvpx", "1 5"),
]


@pytest.mark.parametrize(("suffix", "codec", "seed"), CORPUS)
def test_a_mutant_ends_well(tmp_path, suffix, codec, seed):
    clip = write_clip(tmp_path / f"clip{suffix}", codec)
    mutant = tmp_path / f"mutant{suffix}"
    mutant.write_bytes(mutate(clip.read_bytes(), random.Random(seed)))
    code, problem = attempt(mutant, tmp_path / "out.mkv", 60)
    assert problem is None
    assert code in (0, 1, 2, 3)


def test_the_same_seed_gives_the_same_mutant():
    data = bytes(range(256)) * 20
    assert mutate(data, random.Random("7 7")) == mutate(data, random.Random("7 7")) != data


def test_killed_runs_leave_what_plays_or_nothing():
    assert kill_runs(4, seed=3, latest=1.5, frames_in=600) == 0
