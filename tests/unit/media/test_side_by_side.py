import cv2
import numpy as np
import pytest

from malle_rt.denoiser import PassThrough
from malle_rt.errors import ConfigError, SinkError
from malle_rt.frame import ColorTags, Frame
from malle_rt.media.rgb import to_bgr, to_rgb
from malle_rt.media.side_by_side import SideBySide
from malle_rt.media.synthetic import SyntheticSource


def played(frames, path, *, expected, size=(64, 48)):
    shown = SideBySide(PassThrough(), path, expected=expected)
    for frame in SyntheticSource(frames, size):
        shown.start(frame)()
    return shown


@pytest.mark.parametrize(
    ("frames", "expected", "rows"), [(10, 10, 3), (10, None, 1), (100, None, 2), (2, 50, 1)]
)
def test_shows_the_frames_that_were_wanted_or_the_first(tmp_path, frames, expected, rows):
    assert played(frames, tmp_path / "shown.png", expected=expected).save()
    assert cv2.imread(str(tmp_path / "shown.png")).shape == (rows * 48 + 4 * (rows - 1), 64 * 2 + 2, 3)


def test_large_frames_are_shown_smaller(tmp_path):
    played(1, tmp_path / "shown.png", expected=1, size=(1920, 1088)).save()
    assert cv2.imread(str(tmp_path / "shown.png")).shape[1] == 2 * 960 + 2


def test_no_frame_no_picture(tmp_path):
    assert not SideBySide(PassThrough(), tmp_path / "shown.png", expected=5).save()
    assert not (tmp_path / "shown.png").exists()


def test_says_where_it_cannot_write(tmp_path):
    with pytest.raises(SinkError, match="no folder"):
        played(1, tmp_path / "nowhere" / "shown.png", expected=1).save()


@pytest.mark.parametrize(
    ("color_range", "luma", "expected"), [(1, 16, 0), (1, 235, 255), (2, 16, 16), (2, 255, 255)]
)
def test_rgb_follows_the_range(color_range, luma, expected):
    planes = (np.full((16, 16), luma, np.uint8), *[np.full((8, 8), 128, np.uint8)] * 2)
    rgb = to_rgb(Frame(planes, "yuv420p", 0, 1, color=ColorTags(color_range, 1, 1, 1)))
    assert np.abs(rgb.astype(int) - expected).max() <= 1


def test_bgr_is_rgb_the_other_way_round():
    frame = next(iter(SyntheticSource(1, (64, 48))))
    np.testing.assert_array_equal(to_bgr(frame), to_rgb(frame)[..., ::-1])


def test_other_kinds_of_picture_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"must be a \.png, \.jpg, \.jpeg, \.webp file, got .*shown\.gif"):
        SideBySide(PassThrough(), tmp_path / "shown.gif", expected=5)
