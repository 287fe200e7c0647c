import logging

import pytest
from helpers.streams import write_stream_clip

from malle_rt.errors import MalleError, SourceError
from malle_rt.live.capture.device import CaptureRequest, DeviceAddress
from malle_rt.live.capture.source import open_capture
from malle_rt.live.capture.stream import StreamCapture

GRAPH = "lavfi:testsrc2=size=64x48:rate=50:duration=0.1"


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


@pytest.mark.parametrize(
    "device",
    ["0", "12", "/dev/video0", "gst:nvarguscamerasrc ! appsink", "Logitech BRIO", "BRIO 4.0", "/dev/null"],
)
def test_cameras(device):
    assert DeviceAddress.parse(device).is_camera


@pytest.mark.parametrize(
    "device",
    [
        "lavfi:testsrc2",
        "rtsp://host/x",
        "udp://@239.0.0.1:5000",
        "file:x",
        "clip.mp4",
        "folder/clip",
        "C:\\a\\b.mkv",
    ],
)
def test_streams_and_files(device):
    assert not DeviceAddress.parse(device).is_camera


def test_a_file_needs_no_extension(tmp_path):
    write_stream_clip(tmp_path / "clip.ts", frames=5).rename(tmp_path / "clip")
    capture = open_capture(CaptureRequest(device=str(tmp_path / "clip")))
    capture.close()
    assert isinstance(capture, StreamCapture)


def test_a_misspelt_file_is_no_camera():
    with pytest.raises(SourceError, match=r"missing\.mp4: no such file"):
        open_capture(CaptureRequest(device="missing.mp4"))


def test_options_that_are_for_cameras_are_warned_of_once(caplog):
    request = CaptureRequest(device=GRAPH, size=(64, 48), frame_rate=50, fourcc="MJPG")
    for _ in range(2):  # as for a second connection
        open_capture(request).close()
    assert warnings(caplog) == [f"ignored: --size, --fps, --fourcc (of no use with {GRAPH})"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("device", "options", "unused"),
    [
        (
            "udp://127.0.0.1:0?token=secret",
            {"loop": True},
            "--loop (of no use with udp://127.0.0.1:0)",
        ),
        ("/dev/null", {"loop": True, "size": (64, 48)}, "--loop (of no use with /dev/null)"),
        ("missing.mp4", {"loop": True, "frame_rate": 5}, "--fps (of no use with missing.mp4)"),
        ("gst:", {"fourcc": "MJPG"}, "--fourcc (of no use with gst:)"),
    ],
)
def test_options_that_are_for_others_are_named(caplog, device, options, unused):
    with pytest.raises(MalleError):
        open_capture(CaptureRequest(device=device, **options))
    assert warnings(caplog) == [f"ignored: {unused}"]


def test_nothing_is_said_of_options_that_are_used(caplog, tmp_path):
    clip = write_stream_clip(tmp_path / "clip.ts", frames=5)
    open_capture(CaptureRequest(device=str(clip), loop=True)).close()
    assert warnings(caplog) == []


def test_a_fourcc_may_be_written_small():
    assert CaptureRequest(fourcc="mjpg").fourcc == "MJPG"
