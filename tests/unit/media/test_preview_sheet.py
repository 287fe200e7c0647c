import dataclasses

import numpy as np
import pytest

from malle_rt.frame import Frame
from malle_rt.media.preview_sheet import CROP, GAP, LABEL, preview_sheet
from malle_rt.media.rgb import to_bgr
from malle_rt.media.synthetic import SyntheticSource


def frame_and_versions(size, count=3):
    frame = next(iter(SyntheticSource(1, size)))
    return frame, [dataclasses.replace(frame) for _ in range(count)]


def changed(frame, *, at, by):
    luma = frame.planes[0].copy()
    luma[at] = np.clip(luma[at].astype(int) + by, 0, 255)
    return dataclasses.replace(frame, planes=(luma, *frame.planes[1:]))


def test_the_crops_are_where_the_versions_differ_most():
    noisy, versions = frame_and_versions((1280, 720))
    versions[1] = changed(versions[1], at=np.s_[500:600, 900:1000], by=-40)
    versions[2] = changed(versions[2], at=np.s_[10:60, 10:60], by=10)
    _, (x, y, width, height) = preview_sheet(noisy, versions, ["a", "b", "c"])
    assert (width, height) == CROP
    assert x <= 900 and x + width >= 1000 and y <= 500 and y + height >= 600


def test_the_sheet_shows_every_pixel_of_each_crop_as_it_is():
    noisy, versions = frame_and_versions((640, 480))
    versions[0] = changed(versions[0], at=np.s_[:], by=20)
    sheet, (x, y, width, height) = preview_sheet(noisy, versions, ["strength 4", "strength 8", "auto: 9.1"])
    tile = (LABEL + height, width)
    assert sheet.shape == (2 * tile[0] + GAP, 2 * tile[1] + GAP, 3)
    for number, frame in enumerate((noisy, *versions)):
        top, left = number // 2 * (tile[0] + GAP), number % 2 * (tile[1] + GAP)
        shown = sheet[top + LABEL : top + tile[0], left : left + width]
        np.testing.assert_array_equal(shown, to_bgr(frame)[y : y + height, x : x + width])
        assert sheet[top : top + LABEL, left : left + width].max() > 200, "there is a label"


def test_labels_of_small_frames_are_whole():
    noisy, versions = frame_and_versions((32, 32), count=1)
    narrow, _ = preview_sheet(noisy, versions, ["4"])
    wide, (*_, width, height) = preview_sheet(noisy, versions, ["auto: almost no noise found"])
    assert (width, height) == (32, 32) and wide.shape[1] > narrow.shape[1] > 2 * 32


@pytest.mark.parametrize(("rotation", "turns"), [(90, 1), (-90, -1), (180, 2)])
def test_frames_are_turned_upright(rotation, turns):
    noisy, versions = frame_and_versions((96, 64), count=1)
    sheet, (_, _, width, height) = preview_sheet(noisy, versions, ["strength 20"], rotation)
    assert (width, height) == ((64, 96) if turns % 2 else (96, 64))
    left = ((sheet.shape[1] - GAP) // 2 - width) // 2
    np.testing.assert_array_equal(sheet[LABEL:, left : left + width], np.rot90(to_bgr(noisy), turns))


def test_differences_of_deep_samples_do_not_wrap_around():
    dark = Frame((np.zeros((400, 1000), np.uint16),), "gray16le", 0, 1)
    luma = np.zeros((400, 1000), np.uint16)
    luma[:, 900:] = 65535
    _, (x, *_) = preview_sheet(dark, [dark, dataclasses.replace(dark, planes=(luma,))], ["a", "b"])
    assert x + CROP[0] == 1000
