"""What the window shows, without a window."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.small_desk import plain_shot, some_statistics

from malle_rt.live.view.compose import Pictures, compose, picture_area
from malle_rt.live.view.console import ViewSettings
from malle_rt.live.view.drawing import Rect

RAW, CLEAN = 60, 200
BARE = ViewSettings(overlay=False)
SIZE = (1280, 720)


def drawn(settings=BARE, *, size=SIZE, shot=None, statistics=None, pictures=None):
    shot = shot or plain_shot(RAW, CLEAN, (640, 360))
    return compose(shot, statistics or some_statistics(), settings, size, pictures)


@pytest.mark.parametrize(
    "size", [(640, 360), (854, 480), (1280, 720), (1920, 1080), (700, 900), (3840, 2160), (1, 1)]
)
@pytest.mark.parametrize("view", ["split", "side", "raw", "clean"])
def test_is_as_large_as_it_is_shown(size, view):
    statistics = some_statistics(
        message="something has happened " * 5, recording="a.mkv", recorded_seconds=4000
    )
    picture = drawn(ViewSettings(view=view, frozen=True, notice="done"), size=size, statistics=statistics)
    assert picture.shape == (size[1], size[0], 3)
    assert picture.dtype == np.uint8


@pytest.mark.parametrize("divider", [0, 0.25, 0.5, 0.9, 1])
@pytest.mark.parametrize("size", [(640, 360), (1280, 720), (320, 180)])
def test_splits_at_the_divider(divider, size):
    row = drawn(replace(BARE, divider=divider), size=size)[size[1] // 4, :, 0].astype(int)
    at = round(divider * size[0])
    assert np.abs(row[: max(at - 4, 0)] - RAW).max(initial=0) <= 2
    assert np.abs(row[at + 4 :] - CLEAN).max(initial=0) <= 2


def test_the_split_picture_has_the_pixels_of_both():
    rng = np.random.default_rng(1)
    shot = plain_shot(RAW, CLEAN, (200, 96))
    raw, clean = (
        replace(frame, planes=tuple(rng.integers(0, 255, plane.shape, np.uint8) for plane in frame.planes))
        for frame in (shot.raw, shot)
    )
    shot = replace(clean, raw=raw)
    split = Pictures().split(shot, 77)
    np.testing.assert_array_equal(split[:, :77], Pictures().raw(shot)[:, :77])
    np.testing.assert_array_equal(split[:, 77:], Pictures().clean(shot)[:, 77:])


@pytest.mark.parametrize("pix_fmt", ["yuv411p", "yuv422p", "yuv444p", "gray", "yuv420p10le"])
@pytest.mark.parametrize("width", [97, 98])
def test_splits_every_layout_and_odd_sizes(pix_fmt, width):
    from malle_rt.frame import pixel_layout

    layout = pixel_layout(pix_fmt)
    half = 1 << (layout.bits - 1)

    def planes(luma):
        return tuple(
            np.full(shape, half if number else luma << (layout.bits - 8), layout.dtype)
            for number, shape in enumerate(layout.plane_shapes(width, 50))
        )

    shot = plain_shot(RAW, CLEAN)
    raw = replace(shot.raw, planes=planes(RAW), pix_fmt=pix_fmt)
    split = Pictures().split(replace(shot, planes=planes(CLEAN), pix_fmt=pix_fmt, raw=raw), 41).astype(int)
    assert split.shape == (50, width, 3)
    assert np.abs(split[:, :41] - RAW).max() <= 2
    assert np.abs(split[:, 41:] - CLEAN).max() <= 2


def test_a_frozen_picture_is_converted_once(monkeypatch):
    from malle_rt.live.view import compose as module

    columns = []
    convert = module.to_bgr
    monkeypatch.setattr(module, "to_bgr", lambda frame: columns.append(frame.width) or convert(frame))
    shot, known = plain_shot(RAW, CLEAN, (640, 360)), Pictures()
    for divider in (0.5, 0.5, 0.2, 0.9, 0.4):
        drawn(replace(BARE, divider=divider), shot=shot, pictures=known)
    # What was seen at first (320 columns each), then each whole once.
    assert columns == [320, 320, 640, 640]


def test_side_by_side_shows_the_whole_of_both():
    picture = drawn(replace(BARE, view="side"))
    assert np.abs(picture[190:400, 10:630].astype(int) - RAW).max() <= 1
    assert np.abs(picture[190:400, 650:1270].astype(int) - CLEAN).max() <= 1
    assert picture[:170].max() < 30


def test_keeps_the_shape_of_the_picture():
    picture = drawn(replace(BARE, view="clean"), size=(1000, 1000))
    assert picture_area(plain_shot(0, 0, (640, 360)), (1000, 1000)) == Rect(0, 219, 1000, 562)
    assert picture[:215].max() < 30
    assert picture[225:400].min() > CLEAN - 2


def test_a_shot_without_its_raw_frame_is_shown_alone():
    shot = replace(plain_shot(RAW, CLEAN), raw=None)
    assert np.abs(drawn(replace(BARE, view="raw"), shot=shot)[:300].astype(int) - CLEAN).max() <= 1


@pytest.mark.parametrize("state", ["lost", "ended"])
def test_a_lost_source_darkens_the_picture_and_raises_a_red_banner(state):
    picture = drawn(replace(BARE, view="clean"), statistics=some_statistics(state=state))
    assert picture[:300].max() < CLEAN / 2
    blue, green, red = picture[445, 20].astype(int)
    assert red > 3 * green
    assert red > 3 * blue


def test_a_message_takes_the_bottom_and_leaves_the_rest_as_bright_as_before():
    picture = drawn(replace(BARE, view="clean"), statistics=some_statistics(message="saved a.png"))
    assert picture[-5:, :200].max() < 60
    assert picture[:400].min() > CLEAN - 2


def test_the_same_arguments_give_the_same_pixels():
    shot, statistics = plain_shot(RAW, CLEAN), some_statistics(message="saved a.png", recording="a")
    first, second = (drawn(ViewSettings(help=True), shot=shot, statistics=statistics) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    known = Pictures()
    for _ in range(2):
        again = drawn(ViewSettings(help=True), shot=shot, statistics=statistics, pictures=known)
        np.testing.assert_array_equal(first, again)


def test_drawing_never_changes_the_shot():
    shot, known = plain_shot(RAW, CLEAN, SIZE), Pictures()
    for view in ("raw", "clean", "split", "side"):
        drawn(ViewSettings(view=view), shot=shot, pictures=known)
    assert known.raw(shot).max() == known.raw(shot).min()
    assert known.clean(shot).max() == known.clean(shot).min()


@pytest.mark.parametrize(
    ("state", "message"), [("waiting", None), ("lost", "camera 0 is busy"), ("ended", None), ("live", None)]
)
def test_says_what_goes_on_before_the_first_picture(state, message):
    statistics = some_statistics(state=state, message=message)
    picture = compose(None, statistics, ViewSettings(), (640, 360))
    assert picture[130:190, 100:540].max() > 200
