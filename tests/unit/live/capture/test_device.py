import pytest

from malle_rt.live.capture.device import DeviceAddress


@pytest.mark.parametrize(
    ("device", "kind", "target"),
    [
        ("lavfi:testsrc2", "lavfi", "testsrc2"),
        ("rtsp://me:secret@host/live", "url", "rtsp://me:secret@host/live"),
        ("lavfi:movie=http\\://u\\:secret@h/a", "lavfi", "movie=http\\://u\\:secret@h/a"),
        ("file:///tmp/a.mp4", "file", "/tmp/a.mp4"),
        ("a.mp4", "file", "a.mp4"),
    ],
)
def test_kinds(device, kind, target):
    address = DeviceAddress.parse(device)
    assert (address.kind, address.target) == (kind, target)
    assert "secret" not in address.shown


@pytest.mark.parametrize(
    ("device", "self_paced"),
    [
        ("RTSP://h/x", True),
        ("udp://h:1", True),
        ("srt://h:1", True),
        ("https://h/a.mp4", False),
        ("a.mp4", False),
    ],
)
def test_who_sets_the_pace(device, self_paced):
    assert DeviceAddress.parse(device).self_paced is self_paced
