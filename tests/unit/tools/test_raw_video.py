import numpy as np
import pytest
from yardstick.raw import RawVideo
from yardstick.speed import SpeedClip

PICTURES = np.random.default_rng(0).integers(0, 256, (3, 24, 32), np.uint8)


def test_what_is_written_is_read(tmp_path):
    video = RawVideo.write(tmp_path / "a.yuv", PICTURES)
    assert (video.size, video.frames) == ((32, 16), 3)
    assert np.array_equal(video.read(), PICTURES)


def test_a_lost_frame_is_noticed(tmp_path):
    video = RawVideo.write(tmp_path / "a.yuv", PICTURES)
    PICTURES[:2].tofile(video.path)
    with pytest.raises(ValueError, match="expected 3 frames, got 2"):
        video.read()


def test_the_speed_clip_plays_back_and_forth(tmp_path):
    raw = SpeedClip(PICTURES, tmp_path, longest=8).raw(8)
    assert np.array_equal(raw.read(), PICTURES[[0, 1, 2, 2, 1, 0, 0, 1]])
