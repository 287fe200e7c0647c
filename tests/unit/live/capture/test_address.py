import pytest

from malle_rt.live.capture.address import Address, hide_password


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("rtsp://me:secret@10.0.0.5:554/live", "rtsp://me:***@10.0.0.5:554/live"),
        ("rtsp://me:sec@ret@host/live", "rtsp://me:***@host/live"),  # not escaped, as people write it
        ("http://token@host/live", "http://***@host/live"),
        ("rtsp://to@ken@host/live", "rtsp://***@host/live"),
        ("udp://@239.0.0.1:5000", "udp://@239.0.0.1:5000"),
        ("rtsp://host/a:b@c", "rtsp://host/a:b@c"),
        (
            "rtmp://host/x?user=admin&password=secret&stream=0",
            "rtmp://host/x?user=admin&password=***&stream=0",
        ),
        ("srt://host:9?passphrase=0123456789", "srt://host:9?passphrase=***"),
        ("http://host/x?Token=abc#d", "http://host/x?Token=***"),  # a secret may hold a #
        ("http://h/x?access_token=a&api_key=b&n=1", "http://h/x?access_token=***&api_key=***&n=1"),
        ("http://h/x?auth=a&X-Sig-V2=b", "http://h/x?auth=***&X-Sig-V2=***"),
        ("srt://h:9?streamid=#!::u=me,s=abc&latency=2", "srt://h:9?streamid=***&latency=2"),
        ("lavfi:movie=http\\://u\\:secret@h/a.mp4", "lavfi:movie=http\\://u\\:***@h/a.mp4"),
        ("lavfi:movie=http\\://h/a.mp4?token\\=secret", "lavfi:movie=http\\://h/a.mp4?token\\=***"),
        ("lavfi:testsrc2=size=64x48:rate=30", "lavfi:testsrc2=size=64x48:rate=30"),
        ("rtspsrc location=rtsp://u:p@h/x ! decodebin", "rtspsrc location=rtsp://u:***@h/x ! decodebin"),
        ('rtspsrc user-pw="a b" latency=0', "rtspsrc user-pw=*** latency=0"),
        ("rtsp://a:b@h1/x and rtsp://c:d@h2/y", "rtsp://a:***@h1/x and rtsp://c:***@h2/y"),
        ("clip:3@home.mp4", "clip:3@home.mp4"),
    ],
)
def test_no_password_is_shown(written, shown):
    assert hide_password(written) == shown


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
    address = Address.of(device)
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
    assert Address.of(device).self_paced is self_paced
