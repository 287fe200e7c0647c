"""Streams and files as cameras, from real servers."""

import itertools
import socket
import threading
import time
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.streams import CLIP_FRAMES, CLIP_RATE, StreamServer, free_port, write_stream_clip
from media import damage, write_clip

from malle_rt.errors import SourceError
from malle_rt.frame import Packet
from malle_rt.live.capture.device import CaptureRequest
from malle_rt.live.capture.stream import StreamCapture
from malle_rt.live.capture.stream_input import Timeouts
from malle_rt.live.frame import LiveFrame
from malle_rt.media.synthetic import SyntheticSource, read_index
from malle_rt.shown import shown_address

FRAME = 1 / CLIP_RATE


def capture(device, *, loop=False, opening=10.0):
    return StreamCapture(CaptureRequest(device=str(device), loop=loop), timeouts=Timeouts(opening=opening))


def take(device, shots, **options):
    """So many shots, and the packets between them."""
    opened = capture(device, **options)
    try:
        items, found = [], 0
        for item in opened:
            items.append(item)
            found += isinstance(item, LiveFrame)
            if found == shots:
                break
    finally:
        opened.close()
    return opened, [i for i in items if isinstance(i, LiveFrame)], [i for i in items if isinstance(i, Packet)]


def check_order(shots):
    """The pictures follow one another, in what they show and in time."""
    shown = [read_index(shot) for shot in shots]
    assert shown == [(shown[0] + step) % CLIP_FRAMES for step in range(len(shots))]
    steps = {round(float(b.seconds - a.seconds), 3) for a, b in itertools.pairwise(shots)}
    assert steps <= {0.04, 0.061}  # the latter where the clip begins again
    assert all(b.captured >= a.captured for a, b in itertools.pairwise(shots))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["rtsp", "udp", "http"])
def test_a_live_stream(kind, clip):
    with StreamServer(kind, clip) as server:
        opened, shots, sound = take(server.url, 40)
    check_order(shots)
    assert time.monotonic() - 5 < shots[-1].captured < time.monotonic()
    assert 40 <= len(sound) <= 120, "1024 samples each, in 1.6 s and what was read ahead"
    assert opened.description == f"{shown_address(server.url)}, 160x96 at 25 fps, h264"
    info = opened.template.info
    assert (info.width, info.height, info.pix_fmt, info.frame_rate) == (160, 96, "yuv420p", 25)
    assert info.duration is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("transport", "ending"), [("tcp", ""), ("udp", ""), ("udp", "?udp")], ids=["tcp", "server", "url"]
)
def test_rtsp_over_tcp_and_where_asked_over_udp(transport, ending, clip):
    with StreamServer("rtsp", clip, transport=transport) as server:
        _, shots, sound = take(server.url + ending, 15)
    check_order(shots)
    assert sound


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["rtsp", "http"])
def test_passwords(kind, clip, caplog):
    with StreamServer(kind, clip, password="me:secret") as server:
        wrong, right = (server.url.replace("//", f"//me:{word}@") for word in ("geheim", "secret"))
        for url in (server.url, wrong):
            with pytest.raises(SourceError, match=r"another user and password \(401\)") as caught:
                capture(url)
            assert "geheim" not in f"{caught.value} {caught.value.__cause__} {caught.value.__context__}"
        opened, shots, _ = take(right, 3)
    check_order(shots)
    assert "me" not in opened.description.split(",")[0] and "127.0.0.1" in opened.description
    assert "secret" not in f"{opened.description} {opened.template.location} {caplog.text}"


@pytest.mark.slow
def test_a_server_that_goes_is_an_error(clip):
    with StreamServer("rtsp", clip) as server:
        opened = capture(server.url)
        items = iter(opened)
        next(items)
        server.kill()
        with pytest.raises(SourceError, match="the stream has ended"):
            list(items)
        opened.close()
        opened.close()


@pytest.mark.slow
def test_a_server_that_falls_silent_is_an_error(clip):
    with StreamServer("udp", clip) as server:
        opened = capture(server.url.replace("//", "//me:secret@"))
        items = iter(opened)
        next(items)
        server.stall()
        begin = time.monotonic()
        with pytest.raises(SourceError, match=r"no data (any more|for 2 s)") as caught:
            list(items)
        opened.close()
    assert time.monotonic() - begin < 3
    assert "secret" not in str(caught.value)


@pytest.mark.slow
def test_a_server_that_says_nothing(clip):
    with StreamServer("silent", clip) as server:
        begin = time.monotonic()
        with pytest.raises(SourceError, match="no answer within 1 s"):
            capture(server.url, opening=1.0)
    assert time.monotonic() - begin < 2


@pytest.mark.parametrize("scheme", ["rtsp", "http", "tcp"])
def test_nobody_listens(scheme):
    with pytest.raises(SourceError, match=r"connection refused") as caught:
        capture(f"{scheme}://me:secret@127.0.0.1:{free_port()}/x")
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.slow
def test_nobody_sends():
    with pytest.raises(SourceError, match=r"nothing has come within 0\.5 s"):
        capture(f"udp://127.0.0.1:{free_port(datagrams=True)}", opening=0.5)


@pytest.mark.slow
def test_raw_h264_is_dated_by_the_clock(tmp_path):
    x264 = {"preset": "ultrafast", "tune": "zerolatency", "g": "10"}
    write_clip(tmp_path / "raw.h264", codec="libx264", frames=60, size=(160, 96), options=x264)
    with StreamServer("trickle", tmp_path / "raw.h264") as server:
        _, shots, _ = take(server.url, 50)
    spans = [last.seconds - first.seconds for first, last in [(shots[20], shots[49])]]
    assert float(spans[0]) == pytest.approx(shots[49].captured - shots[20].captured, abs=0.05)


@pytest.mark.slow
def test_a_file_plays_at_its_own_pace(clip):
    opened, shots, sound = take(clip, None)
    check_order(shots)
    assert len(shots) == CLIP_FRAMES
    assert shots[-1].captured - shots[0].captured == pytest.approx(99 / 25, abs=0.05)
    assert len(sound) == 188
    assert "at 25 fps" in opened.description


@pytest.mark.slow
def test_a_file_begins_again(tmp_path):
    short = write_stream_clip(tmp_path / "short.mp4", frames=10)
    _, shots, sound = take(short, 35, loop=True)
    assert [read_index(shot) for shot in shots] == [step % 10 for step in range(35)]
    instants = [shot.seconds for shot in shots]
    assert all(0 < b - a < 2 * FRAME for a, b in itertools.pairwise(instants))
    assert len(sound) > 50
    heard = [packet.payload.pts * packet.payload.time_base for packet in sound]
    assert all(b > a for a, b in itertools.pairwise(heard))


def test_a_source_graph_ends():
    opened, shots, sound = take(
        "lavfi:testsrc2=size=64x48:rate=50:duration=0.5[out0];sine=duration=0.5[out1]", None
    )
    assert len(shots) == 25
    assert len(sound) == 22
    assert shots[-1].captured - shots[0].captured == pytest.approx(24 / 50, abs=0.05)


@pytest.mark.slow
def test_a_file_over_http_keeps_its_pace_and_ends(tmp_path):
    film = write_stream_clip(tmp_path / "film.mkv", frames=25)
    with StreamServer("http", film) as server:
        _, shots, _ = take(server.url.replace("/live", "/file"), None)
    assert [read_index(shot) for shot in shots] == list(range(25))
    assert shots[-1].captured - shots[0].captured == pytest.approx(24 / 25, abs=0.05)


@pytest.mark.slow
def test_a_download_cut_off_is_an_error(tmp_path):
    film = write_stream_clip(tmp_path / "film.mkv", frames=75)
    film.write_bytes(film.read_bytes()[:30000])
    with (
        StreamServer("http", film) as server,
        pytest.raises(SourceError, match="cut off before its end"),
    ):
        take(server.url.replace("/live", "/file"), None)


def test_pictures_are_what_was_sent(tmp_path):
    path = write_clip(tmp_path / "exact.nut", frames=5)
    _, shots, _ = take(path, None)
    for index, shot in enumerate(shots):
        clean = SyntheticSource(5, (64, 48)).clean(index)
        assert all(np.array_equal(a, b) for a, b in zip(shot.planes, clean.planes, strict=True))
        assert shot.origin is None
    assert [shot.seconds for shot in shots] == [index * Fraction(1001, 30000) for index in range(5)]


@pytest.mark.slow
def test_damage_is_skipped_and_logged(tmp_path, caplog):
    path = damage(write_clip(tmp_path / "film.nut", frames=60), start=0.5, length=4000)
    _, shots, _ = take(path, None)
    shown = [read_index(shot) for shot in shots]
    assert (shown[0], shown[-1]) == (0, 59)
    assert len(shots) < 60
    assert f"{path}: damaged data is skipped" in caplog.text


def test_srt_that_pyav_does_not_know():
    url = f"srt://127.0.0.1:{free_port(datagrams=True)}"
    try:
        av.open(url, timeout=1.0).close()
    except av.error.ProtocolNotFoundError:
        with pytest.raises(
            SourceError, match=r"has no SRT\. Run ffmpeg -i srt://.*--device udp://127\.0\.0\.1:1234"
        ):
            capture(f"{url}?passphrase=secretsecret")
    except av.error.FFmpegError:
        pytest.skip("this PyAV knows SRT")


@pytest.mark.parametrize(
    ("device", "problem"),
    [
        ("missing.mp4", "no such file"),
        ("lavfi:nonsense", "FFmpeg cannot make a source of it"),
        ("lavfi:sine=duration=1", "no video track, only audio"),
        ("nothing://host/x", "cannot be opened"),
    ],
)
def test_what_cannot_be_opened(device, problem):
    with pytest.raises(SourceError, match=problem) as caught:
        capture(device)
    assert "\n" not in str(caught.value)


def largest_buffer():
    """Bytes that this system lets a socket hold."""
    limit = Path("/proc/sys/net/core/rmem_max")
    return int(limit.read_text()) if limit.exists() else 0


def send_datagrams(path, port, *, burst=0, without=0):
    """Send a TS file by UDP from a thread: in bursts of so many datagrams, or evenly; every n-th one left out."""

    def send():
        time.sleep(0.3)
        data = path.read_bytes()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for number, start in enumerate(range(0, len(data), 1316)):
                if not without or number < 200 or number % without:
                    sender.sendto(data[start : start + 1316], ("127.0.0.1", port))
                if not burst or number % burst == burst - 1:
                    time.sleep(0.002 if not burst else 0.15)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    return thread


def received(path, **how):
    """(pictures that came by UDP, the thread that sent them)."""
    port = free_port(datagrams=True)
    thread = send_datagrams(path, port, **how)
    source = capture(f"udp://127.0.0.1:{port}", opening=10)
    count = 0
    try:
        with suppress(SourceError):
            for item in source:
                count += isinstance(item, LiveFrame)
    finally:
        source.close()
        thread.join(20)
    return count


def write_heavy_ts(path, frames=60):
    """Noise, at about 60 KiB a picture."""
    rng = np.random.default_rng(0)
    with av.open(str(path), "w", format="mpegts") as container:
        video = container.add_stream(
            "mpeg2video", rate=25, options={"flags": "+qscale", "global_quality": "236"}
        )
        video.width, video.height, video.pix_fmt, video.gop_size = 320, 240, "yuv420p", 1
        for index in range(frames):
            noise = rng.integers(16, 235, (360, 320), np.uint8)
            picture = av.VideoFrame.from_ndarray(noise, format="yuv420p")
            picture.pts = index
            container.mux(video.encode(picture))
        container.mux(video.encode())
    return path


@pytest.mark.slow
@pytest.mark.skipif(largest_buffer() < 4 << 20, reason="the system allows no buffer for such bursts")
def test_bursts_of_a_megabyte_are_not_lost(tmp_path, caplog):
    path = write_heavy_ts(tmp_path / "in.ts")
    assert path.stat().st_size > 3 << 20
    assert received(path, burst=800) >= 55
    assert not any("lost on the way" in said for said in caplog.messages)


@pytest.mark.slow
def test_packets_that_are_lost_are_said_once(tmp_path, caplog):
    received(write_heavy_ts(tmp_path / "in.ts"), without=401)
    assert sum("packets are lost on the way" in said for said in caplog.messages) == 1


def test_network_streams_are_offered_to_nvdec_and_files_are_not(clip, monkeypatch):
    offered = []
    monkeypatch.setattr(
        "malle_rt.live.capture.stream_input.decoder_into_memory", lambda gpu: offered.append(gpu)
    )
    with StreamServer("http", clip) as server:
        opened = StreamCapture(CaptureRequest(device=server.url, gpu=1))
        assert next(iter(opened)).planes
        assert not opened.description.endswith("NVDEC")  # on this machine
        opened.close()
    StreamCapture(CaptureRequest(device=str(clip), gpu=1)).close()
    assert offered == [1]
