"""Video sent to servers and players: real ones, ones that come and go, and ones that never listen."""

import contextlib
import shutil
import socket
import time
from dataclasses import replace
from fractions import Fraction

import av
import pytest
from helpers.outlets import (
    Receiver,
    TcpReceiver,
    bare_template,
    free_port,
    listening,
    mixed,
    shots,
    sounding,
    until,
)
from helpers.sink import read
from media import indices, instants

from malle_rt.errors import ConfigError
from malle_rt.frame import Frame
from malle_rt.live.outlets.address import PushAddress
from malle_rt.live.outlets.outlet import Outlet
from malle_rt.live.outlets.push import PushSink, low_delay_config
from malle_rt.live.outlets.relay import knows_srt
from malle_rt.media.encode_config import EncodeConfig

FFMPEG = shutil.which("ffmpeg")
needs_ffmpeg = pytest.mark.skipif(FFMPEG is None, reason="no ffmpeg program (Debian: apt install ffmpeg)")
needs_srt = pytest.mark.skipif(
    FFMPEG is None or not knows_srt(FFMPEG), reason="no ffmpeg program with SRT (Debian: apt install ffmpeg)"
)
ROUNDING = Fraction(1, 1000)  # RTMP's unit, the coarsest


@pytest.fixture
def reader():
    receiver = TcpReceiver(reads=True)
    yield receiver
    receiver.close()


@pytest.fixture
def mute():
    """Accepts connections, and never reads."""
    receiver = TcpReceiver(reads=False)
    yield receiver
    receiver.close()


def feed(sink, items, pace=0.01):
    """Give items to a sink at a pace that it can keep."""
    for item in items:
        sink.write(item)
        if isinstance(item, Frame):
            time.sleep(pace)


def check(path, given, packets=(), *, tail=0):
    """All pictures came but at most ``tail`` last ones, at their instants; sound up to there, in step with them."""
    frames = read(path)[2]
    assert len(frames) >= len(given) - tail
    assert indices(frames) == list(range(len(frames)))
    first = frames[0].seconds
    for frame, shot in zip(frames, given, strict=False):
        assert abs((frame.seconds - first) - (shot.seconds - given[0].seconds)) <= ROUNDING
    if packets:
        wanted = [p.payload.pts * p.payload.time_base - given[0].seconds for p in packets]
        wanted = [instant for instant in wanted if instant >= 0]
        heard = [instant - first for instant in instants(path, "audio")]
        assert abs(heard[0] - wanted[0]) <= 2 * ROUNDING
        # MPEG-TS puts several packets of sound into one.
        assert heard[-1] >= frames[-1].seconds - first - Fraction(1, 2)


@pytest.mark.slow
def test_mpegts_over_tcp_arrives_whole_with_its_sound(tmp_path, reader):
    with sounding(tmp_path, 3) as (template, packets):
        given = list(shots(60))
        sink = PushSink(f"tcp://127.0.0.1:{reader.port}", template)
        feed(sink, mixed(given, packets))
        sink.finish()
    assert sink.lost == 0
    (tmp_path / "a.ts").write_bytes(reader.streams[0])
    check(tmp_path / "a.ts", given, packets)


@pytest.mark.slow
def test_mpegts_over_udp_fits_datagrams(tmp_path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(0.5)
        given = list(shots(30))
        sink = PushSink(f"udp://127.0.0.1:{receiver.getsockname()[1]}", bare_template())
        feed(sink, given)
        sink.finish()
        datagrams = []
        with contextlib.suppress(TimeoutError):
            while True:
                datagrams.append(receiver.recv(65536))
    assert max(map(len, datagrams)) <= 1316
    (tmp_path / "a.ts").write_bytes(b"".join(datagrams))
    check(tmp_path / "a.ts", given)


@pytest.mark.slow
@needs_ffmpeg
@pytest.mark.parametrize(
    ("url", "options", "count", "tail"),
    [
        ("rtmp://127.0.0.1:{}/live/secret", ["-listen", "1"], 60, 0),
        ("rtsp://127.0.0.1:{}/live", ["-rtsp_flags", "listen"], 60, 0),
        # Closing an SRT connection does not wait for what the receiver has still to acknowledge.
        pytest.param("srt://127.0.0.1:{}", ["-mode", "listener"], 250, 240, marks=needs_srt),
    ],
)
def test_servers_get_every_picture_and_the_sound(tmp_path, url, options, count, tail):
    port = free_port()
    url = url.format(port)
    receiver = Receiver(url, tmp_path / "a.nut", *options)
    try:
        assert until(lambda: listening(port))
        with sounding(tmp_path, count // 25 + 1) as (template, packets):
            given = list(shots(count))
            sink = PushSink(url, template)
            feed(sink, mixed(given, packets))
            sink.finish()
        receiver.wait()
    finally:
        receiver.close()
    assert (sink.lost, sink.problem) == (0, None)
    check(tmp_path / "a.nut", given, packets, tail=tail)


def test_the_picture_leaves_the_encoder_at_once(reader):
    sink = PushSink(f"tcp://127.0.0.1:{reader.port}", bare_template())
    try:
        one, *_ = shots(1)
        sink.write(one)
        # The muxer's tables and the whole first picture, although no second one follows.
        assert until(lambda: bool(reader.streams) and len(reader.streams[0]) > 1500)
    finally:
        sink.abort()


@pytest.mark.slow
def test_a_receiver_that_comes_late_and_comes_back(tmp_path):
    port = free_port()
    sink = PushSink(f"tcp://127.0.0.1:{port}/path?key=secret", bare_template())
    outlet = Outlet("tcp", sink)
    given = iter(shots(60_000))

    def fed(condition):
        return until(lambda: condition() or outlet.put(next(given)))

    assert fed(lambda: "refused" in (outlet.problem or ""))
    assert outlet.problem == "Connection refused; trying again"
    for _ in range(2):
        receiver = TcpReceiver(reads=True, port=port)
        try:
            assert fed(
                lambda came=receiver: (
                    outlet.problem is None and came.streams and len(came.streams[-1]) > 20_000
                )
            )
        finally:
            receiver.close()
        assert fed(lambda: outlet.problem is not None)
        (tmp_path / "a.ts").write_bytes(receiver.streams[-1])
        with av.open(str(tmp_path / "a.ts")) as film:
            assert next(film.decode(video=0)).pts is not None
    assert outlet.running
    assert outlet.dropped > 0
    assert outlet.close()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["tcp", "rtmp", "rtsp"])
def test_a_receiver_that_never_reads_holds_nobody_up(mute, scheme):
    sink = PushSink(
        f"{scheme}://127.0.0.1:{mute.port}/live",
        bare_template((320, 240)),
        EncodeConfig(preset="ultrafast", options={"qp": "0", "tune": "zerolatency"}),
    )
    outlet = Outlet(scheme, sink)
    slowest, end = 0.0, time.monotonic() + 20
    noisy = list(shots(8, size=(320, 240), noise=30))
    beat, number = time.perf_counter(), 0
    while "takes no more data" not in (outlet.problem or "") and time.monotonic() < end:
        frame = noisy[number % 8]
        number += 1
        outlet.put(_later(frame, number))
        time.sleep(0.005)
        # The whole round: a process whose interpreter is locked by a connection makes no rounds.
        slowest, beat = max(slowest, time.perf_counter() - beat), time.perf_counter()
    assert "takes no more data" in outlet.problem
    assert slowest < 0.5
    assert outlet.dropped > 0
    outlet.put(noisy[0])
    began = time.perf_counter()
    assert outlet.close(2)
    assert time.perf_counter() - began < 2


@pytest.mark.slow
def test_closing_while_a_write_waits_is_quick(mute):
    sink = PushSink(f"rtmp://127.0.0.1:{mute.port}/live", bare_template((320, 240)))
    outlet = Outlet("rtmp", sink)
    for number, frame in enumerate(shots(40, size=(320, 240), noise=30)):
        outlet.put(_later(frame, number))
        time.sleep(0.01)
    began = time.perf_counter()
    assert outlet.close(2)
    assert time.perf_counter() - began < 2


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://10.0.0.7/a", "cannot send video to http: use rtsp, rtmp"),
        ("out.mkv", "an address without a scheme.*--record"),
        ("udp://239.0.0.1", "needs a host and a port"),
        ("rtmp:///live", "needs a host"),
        ("tcp://10.0.0.7:port", "cannot be read"),
    ],
)
def test_says_where_nothing_can_be_sent(url, message):
    with pytest.raises(ConfigError, match=message):
        PushSink(url, bare_template())


def test_srt_without_a_program_that_knows_it(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="srt needs an ffmpeg program"):
        PushSink("srt://10.0.0.7:9000", bare_template())


def test_keys_and_passwords_are_never_shown():
    address = PushAddress.parse("rtmp://me:password@[2001:db8::7]:1935/app/key?token=a")
    assert address.shown == "rtmp://[2001:db8::7]:1935"
    assert PushAddress.parse("udp://239.0.0.1:5000?ttl=4").url.endswith("?ttl=4&pkt_size=1316")


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("{url}: Input/output error", "Input/output error"),
        ("Error opening output '{url}': Input/output error", "Error opening output: Input/output error"),
        ("[srt @ 0x1] Connection to {url} failed", "[srt @ 0x1] Connection to failed"),
        ("http://other/?key=SECRET: refused", "refused"),
        ("Connection refused", "Connection refused"),
    ],
)
@pytest.mark.parametrize("key", ["SECRETSECRET", "SECRET SECRET"])
def test_addresses_are_taken_out_of_what_ffmpeg_says(said, shown, key):
    address = PushAddress.parse(f"srt://127.0.0.1:9/?passphrase={key}")
    assert address.taken_out_of(said.format(url=address.url)) == shown


@pytest.mark.slow
@pytest.mark.parametrize(
    "url",
    [
        pytest.param("srt://127.0.0.1:{}/?passphrase=SECRETSECRET", marks=needs_srt),
        "rtmp://127.0.0.1:{}/live/SECRET",
        "rtsp://me:SECRET@127.0.0.1:{}/live",
    ],
)
def test_a_problem_holds_neither_the_address_nor_after_the_end_a_promise(caplog, url):
    caplog.set_level("DEBUG")
    sink = PushSink(url.format(free_port()), bare_template())
    given = shots(60_000)
    try:
        assert until(lambda: sink.write(next(given)) or (sink.problem or "").endswith("; trying again"))
        problem = sink.problem
        sink.interrupt()
        assert sink.problem == problem.removesuffix("; trying again")
        sink.finish()
        assert sink.problem == problem.removesuffix("; trying again")
    finally:
        sink.abort()
    assert "://" not in problem
    assert "SECRET" not in problem + caplog.text


def test_that_nothing_is_sent_while_the_sender_starts_is_no_problem(monkeypatch):
    sink = PushSink(f"udp://127.0.0.1:{free_port()}", bare_template())
    assert sink.problem is None
    sink.interrupt()
    assert sink.problem == "nothing could be sent yet", "at the end it is one"
    monkeypatch.setattr("malle_rt.live.outlets.push._STARTING", 0.0)
    assert PushSink("udp://127.0.0.1:9", bare_template()).problem == "nothing could be sent yet"


def test_keyframes_come_every_two_seconds():
    assert low_delay_config(bare_template().info).options["g"] == "50"


def _later(frame, number):
    """Another instant for a picture that is used again."""
    return replace(frame, pts=number * 3600)
