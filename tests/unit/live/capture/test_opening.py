import pytest
from helpers.streams import write_stream_clip

from malle_rt.errors import SourceError
from malle_rt.live.capture.base import CaptureRequest
from malle_rt.live.capture.opening import is_camera, open_capture
from malle_rt.live.capture.stream import StreamCapture


@pytest.mark.parametrize(
    "device",
    ["0", "12", "/dev/video0", "gst:nvarguscamerasrc ! appsink", "Logitech BRIO", "BRIO 4.0", "/dev/null"],
)
def test_cameras(device):
    assert is_camera(device)


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
    assert not is_camera(device)


def test_a_file_needs_no_extension(tmp_path):
    write_stream_clip(tmp_path / "clip.ts", frames=5).rename(tmp_path / "clip")
    capture = open_capture(CaptureRequest(device=str(tmp_path / "clip")))
    capture.close()
    assert isinstance(capture, StreamCapture)


def test_a_misspelt_file_is_no_camera():
    with pytest.raises(SourceError, match=r"missing\.mp4: no such file"):
        open_capture(CaptureRequest(device="missing.mp4"))
