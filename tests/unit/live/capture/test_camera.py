import itertools

import numpy as np
import pytest
from helpers.cameras import in_camera_child, write_film

from malle_rt.errors import ConfigError, SourceError
from malle_rt.frame import pixel_layout
from malle_rt.live.capture.camera import CameraCapture, planes_of_bgr
from malle_rt.live.capture.camera_opening import quiet
from malle_rt.live.capture.device import CaptureRequest
from malle_rt.opencv import opencv


def read(frames=10, times=1, *, device="0", size=None, frame_rate=None, fourcc=None, **faults):
    """(runs, log): read in a child process, from a camera with these faults."""
    wanted = {"device": device, "size": size, "frame_rate": frame_rate, "fourcc": fourcc}
    found = in_camera_child("camera_child", wanted, frames, times, **faults)
    return found["runs"], found["log"]


def steps(values):
    return [b - a for a, b in itertools.pairwise(values)]


@pytest.mark.slow
def test_frames_come_in_order_with_the_instant_they_were_grabbed():
    (run,), log = read(40)
    assert run["error"] is None
    assert run["description"] == "camera 0 (Fake Camera A), 640x480 at 30 fps, YUYV"
    assert (run["size"], run["rate"], log) == ([640, 480], 30.0, [])
    # A busy machine may lose frames. With a single buffer it would lose every second one.
    assert min(steps(run["indices"])) == 1
    assert run["pts"][0] == 0 and min(steps(run["pts"])) > 0
    seconds = (run["indices"][-1] - run["indices"][0]) / 30
    assert run["pts"][-1] / 1e6 == pytest.approx(seconds, abs=0.4)
    assert 0 <= run["age"] < 1


@pytest.mark.slow
@pytest.mark.parametrize("device", ["/dev/video2", "camera b", "Fake Camera B"])
def test_takes_the_camera_that_is_meant(device):
    (run,), _ = read(1, device=device, cameras=2)
    assert run["description"].startswith("camera 2 (Fake Camera B), 640x480")


@pytest.mark.slow
def test_asks_for_size_and_rate():
    (run,), log = read(2, size=(320, 240))
    assert (run["size"], log) == ([320, 240], [])
    (run,), log = read(2, size=(640, 480), frame_rate=15)
    assert (run["description"], log) == ("camera 0 (Fake Camera A), 640x480 at 15 fps, YUYV", [])


def test_says_what_it_got_instead():
    (run,), log = read(2, size=(1920, 1080), frame_rate=60, fourcc="MJPG", most_width=320)
    got = "320x240 at 30 fps, YUYV"
    assert run["description"] == f"camera 0 (Fake Camera A), {got} (asked for 1920x1080, 60 fps, MJPG)"
    assert log == [f"camera 0 (Fake Camera A): asked for 1920x1080, 60 fps, MJPG, got {got}"]


@pytest.mark.slow
def test_large_pictures_come_as_jpeg_where_plain_ones_are_slow(tmp_path):
    film = write_film(tmp_path / "film", damaged=[5])
    (run,), _ = read(12, size=(1280, 720), film=film)
    assert run["description"] == "camera 0 (Fake Camera A), 1280x720 at 30 fps, MJPG"
    assert min(steps(run["indices"])) > 0
    assert 5 not in run["indices"], "a damaged picture"
    (run,), _ = read(2, size=(1280, 720), fourcc="YUYV", film=film)
    assert run["description"] == "camera 0 (Fake Camera A), 1280x720 at 10 fps, YUYV"


@pytest.mark.slow
def test_a_camera_that_gives_only_damaged_pictures_is_given_up(tmp_path):
    film = write_film(tmp_path / "film", (320, 240), damaged=range(32))
    (run,), _ = read(size=(320, 240), fourcc="MJPG", film=film)
    assert run["error"] == (
        "camera 0 (Fake Camera A) gives pictures that cannot be decoded. Try another --fourcc"
    )


@pytest.mark.slow
def test_unplugged_and_plugged_in_again():
    (first, second), _ = read(30, times=2, unplug_after=8, replug_seconds=0.5)
    assert first["error"] == "camera 0 (Fake Camera A) was unplugged"
    assert first["seconds"] < 1.9, "waited as for a stall"
    assert len(first["indices"]) > 0 and len(second["indices"]) > 0


@pytest.mark.slow
def test_a_stall_ends_after_two_seconds():
    (run,), _ = read(30, stall_after=8)
    assert run["error"] == "camera 0 (Fake Camera A) gives no more pictures"
    assert 1 < run["seconds"] < 5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("device", "faults", "message"),
    [
        ("0", {"cameras": 0}, "no camera 0: none is connected. Plug one in; malle-rt webcam --list"),
        ("7", {}, "no camera 7. There is camera 0 (Fake Camera A)"),
        ("usb", {}, "no camera is called 'usb'. There is camera 0 (Fake Camera A)"),
        ("1", {}, "/dev/video1 (Fake Camera A) gives no pictures, only metadata"),
        ("0", {"busy": True}, "camera 0 (Fake Camera A) is in use by another program. Close it there"),
        (
            "0",
            {"denied": True},
            "/dev/video0: no permission. Run sudo usermod -aG video $USER, then log in again",
        ),
        ("/dev/null", {}, "/dev/null is no camera. malle-rt webcam --list"),
        (
            "0",
            {"stall_after": 0},
            "camera 0 (Fake Camera A) opened, but gives no pictures. Try --fourcc MJPG",
        ),
    ],
)
def test_says_in_one_line_why_there_is_no_picture(device, faults, message):
    (run,), _ = read(1, device=device, **faults)
    assert run["error"].startswith(message)
    assert (run["kind"], run["error"].count("\n")) == ("SourceError", 0)


def test_a_name_that_two_cameras_have_is_refused():
    (run,), _ = read(1, device="fake", cameras=2)
    assert run["kind"] == "ConfigError"
    assert run["error"].startswith("'fake' fits camera 0 (Fake Camera A), camera 2 (Fake Camera B)")


def test_a_pipeline_needs_an_opencv_with_gstreamer():
    cv2 = opencv()
    if cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
        pytest.skip("this OpenCV has GStreamer")
    with pytest.raises(SourceError, match=r"has no GStreamer. NVIDIA's JetPack and Debian's python3-opencv"):
        CameraCapture(CaptureRequest(device="gst:videotestsrc ! video/x-raw,width=320"))


def test_a_pipeline_must_be_there():
    with pytest.raises(ConfigError, match="gst: needs a pipeline after it"):
        CameraCapture(CaptureRequest(device="gst: "))


def test_a_pipeline_that_does_not_start_is_shown_without_its_password():
    cv2 = opencv()
    if not cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
        pytest.skip("this OpenCV has no GStreamer: install Debian's python3-opencv")
    with pytest.raises(SourceError, match="the pipeline does not start: nosuchsrc") as caught:
        CameraCapture(CaptureRequest(device="gst:nosuchsrc location=rtsp://u:secret@127.0.0.1/x"))
    assert "rtsp://127.0.0.1" in str(caught.value)


def test_a_pipeline_gives_pictures():
    cv2 = opencv()
    if not cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
        pytest.skip("this OpenCV has no GStreamer: install Debian's python3-opencv")
    capture = CameraCapture(
        CaptureRequest(
            device="gst: videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=25/1"
        )
    )
    shots = list(itertools.islice(capture, 5))
    capture.close()
    assert capture.description == "pipeline videotestsrc, 320x240 at 25 fps"
    assert min(steps([shot.pts for shot in shots])) > 0


@pytest.mark.parametrize("size", [(64, 48), (33, 21), (32, 17)])
def test_any_size_becomes_420(size):
    width, height = size
    picture = np.full((height, width, 3), (255, 0, 0), np.uint8)
    planes = planes_of_bgr(picture)
    assert tuple(plane.shape for plane in planes) == pixel_layout("yuv420p").plane_shapes(width, height)
    # Blue, in BT.601 and limited range.
    for plane, value in zip(planes, (41, 240, 110), strict=True):
        assert np.abs(plane.astype(int) - value).max() <= 1


def test_opencv_is_silent_only_while_it_works_on_a_camera(monkeypatch):
    monkeypatch.delenv("OPENCV_LOG_LEVEL", raising=False)
    cv2 = opencv()
    place = getattr(cv2.utils, "logging", cv2)
    before = place.getLogLevel()
    with quiet(), quiet():
        assert place.getLogLevel() == 0
    assert place.getLogLevel() == before
    monkeypatch.setenv("OPENCV_LOG_LEVEL", "DEBUG")
    with quiet():
        assert place.getLogLevel() == before
