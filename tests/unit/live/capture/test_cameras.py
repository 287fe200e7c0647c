import os
from fractions import Fraction
from pathlib import Path

import pytest
from helpers.cameras import in_camera_child, write_film

from malle_rt.live.capture.camera_modes import Camera, Mode, preferred_fourcc
from malle_rt.live.capture.cameras import in_use

YUYV = ["640x480 YUYV at 30, 15 fps", "320x240 YUYV at 30 fps", "1280x720 YUYV at 10 fps"]


def modes(*rows):
    return tuple(Mode(fourcc, *size, tuple(map(Fraction, rates))) for fourcc, size, rates in rows)


@pytest.mark.slow
def test_lists_cameras_with_their_modes(tmp_path):
    first, second = in_camera_child("cameras_child", cameras=2, film=write_film(tmp_path / "film"))
    assert (first["label"], first["path"]) == ("camera 0 (Fake Camera A)", "/dev/video0")
    assert (second["number"], second["bus"], second["problem"]) == (2, "usb-fake-2", None)
    assert first["modes"] == second["modes"] == [*YUYV, "1280x720 MJPG at 30 fps"]


@pytest.mark.slow
def test_lists_cameras_that_cannot_be_used_now():
    (camera,) = in_camera_child("cameras_child", busy=True)
    assert camera["problem"] == "camera 0 (Fake Camera A) is in use by another program. Close it there"
    assert camera["modes"] == YUYV
    camera = in_camera_child("cameras_child", denied=True)[0]
    assert "no permission" in camera["problem"]


def test_lists_none_where_there_is_none():
    assert in_camera_child("cameras_child", cameras=0) == []


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no /proc here")
def test_names_the_program_that_has_it_open(tmp_path):
    path = tmp_path / "video0"
    with path.open("w"):
        assert f"(process {os.getpid()}). Close it there" in in_use(str(path.resolve()))
    assert in_use(str(path), "camera 0") == "camera 0 is in use by another program. Close it there"


SLOW = (("YUYV", (640, 480), [30]), ("YUYV", (1280, 720), [10]), ("MJPG", (1280, 720), [30]))
FAST = (("YUYV", (1280, 720), [60]), ("MJPG", (1280, 720), [60]))


@pytest.mark.parametrize(
    ("rows", "size", "rate", "fourcc"),
    [
        (SLOW, None, None, None),
        (SLOW, (640, 480), None, None),
        (SLOW, (1280, 720), None, "MJPG"),
        (SLOW, (1280, 720), 10, None),
        (SLOW, (1920, 1080), None, "MJPG"),
        (SLOW, (320, 240), None, None),
        (FAST, (1280, 720), None, None),
        (SLOW[:2], (1280, 720), None, None),
    ],
)
def test_takes_jpeg_only_for_what_plain_pictures_cannot_do(rows, size, rate, fourcc):
    assert preferred_fourcc(modes(*rows), size, rate) == fourcc


def test_a_label_says_what_is_known():
    assert Camera(3, "/dev/video3").label == "camera 3"
    assert Camera(-1, "/dev/cam", "A").label == "/dev/cam (A)"
    assert str(Mode("NV12", 8, 4, (Fraction(30000, 1001),))) == "8x4 NV12 at 29.97 fps"
    assert str(Mode("NV12", 8, 4)) == "8x4 NV12"


def test_a_camera_is_shown_with_all_that_is_known():
    camera = Camera(0, "/dev/video0", "A", "usb-1", modes(SLOW[0]), "in use")
    assert str(camera) == "camera 0 (A) at usb-1\n    in use\n    640x480 YUYV at 30 fps"
