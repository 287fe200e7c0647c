"""``malle-rt webcam`` as a user runs it without a screen: sources, files, messages, exit codes, and its end."""

import itertools
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import av
import pytest
from helpers.cameras import fake_camera
from helpers.streams import StreamServer, free_port, write_stream_clip

from malle_rt.frame import Frame
from malle_rt.media.file_source import FileSource
from malle_rt.media.synthetic import read_index

pytestmark = pytest.mark.slow  # each starts the program

TESTSRC = "lavfi:testsrc2=size=160x96:rate=25"


class Webcam:
    """The command, running without a window."""

    def __init__(self, *words, env=None):
        command = [sys.executable, "-m", "malle_rt", "webcam", "--no-window", *map(str, words)]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(env or {})},
        )

    def wait_for(self, ready, seconds=30):
        """Until something is so, while the command runs."""
        end = time.monotonic() + seconds
        while not (found := ready()):
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < end
            time.sleep(0.05)
        return found

    def end(self, number=signal.SIGINT):
        """Seconds until it has gone, and what it printed."""
        begin = time.monotonic()
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=30)
        return time.monotonic() - begin, out, err

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()


def webcam(*words, env=None):
    with Webcam(*words, env=env) as running:
        out, err = running.process.communicate(timeout=60)
        return running.process.returncode, out, err


def fails(*words, code=1, env=None):
    """One line on stderr, the exit code, no traceback."""
    returncode, _, err = webcam(*words, env=env)
    assert returncode == code, err
    assert "Traceback" not in err
    lines = [line for line in err.splitlines() if line.startswith("malle-rt: error: ")]
    assert len(lines) == 1, err
    return lines[0]


def frames_of(path):
    source = FileSource(path)
    try:
        return [item for item in source if isinstance(item, Frame)]
    finally:
        source.close()


def is_connected_to(port):
    """Whether somebody on this machine has a connection to the port (Linux's table: remote address, state 01)."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(row[2].endswith(f":{port:04X}") and row[3] == "01" for row in rows)


def partial_with_pictures(folder):
    return [path for path in folder.glob("*.partial*.mkv") if path.stat().st_size > 3000]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_stream_clip(tmp_path_factory.mktemp("clips") / "clip.mkv")


def test_a_file_is_played_at_its_own_pace_and_recorded_with_its_sound(clip, tmp_path):
    out = tmp_path / "out.mkv"
    begin = time.monotonic()
    code, printed, _ = webcam("--device", clip, "--record", out)
    assert code == 0
    assert time.monotonic() - begin > 4  # 100 frames at 25 per second
    frames = frames_of(out)
    indices = [read_index(frame) for frame in frames]
    assert indices == sorted(set(indices))
    assert indices[-1] == 99
    came, gone, dropped = map(int, re.search(r"(\d+) frames in, (\d+) out, (\d+) dropped", printed).groups())
    assert came == 100 == gone + dropped
    assert len(indices) == gone
    with av.open(str(out)) as container:
        assert container.streams.audio
        assert sum(frame.samples for frame in container.decode(audio=0)) > 2 * 48000
    instants = [float(frame.seconds) for frame in frames]
    for index, instant in zip(indices, instants, strict=True):
        assert instant == pytest.approx((index - indices[0]) / 25, abs=0.002)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_time_with_a_playable_file(tmp_path, number):
    out = tmp_path / "out.mkv"
    with Webcam("--device", TESTSRC, "--record", out) as running:
        running.wait_for(lambda: partial_with_pictures(tmp_path))
        seconds, printed, _ = running.end(number)
        assert running.process.returncode == 128 + number
    assert seconds < 2 + 1  # a second for a machine that has other things to do
    assert f"wrote {out}" in printed
    assert frames_of(out)
    assert list(tmp_path.iterdir()) == [out]


def test_it_ends_after_the_time_it_was_given(tmp_path):
    code, printed, err = webcam("--device", TESTSRC, "--record", tmp_path / "a.mkv", "--duration", "1.5")
    assert code == 0, err
    assert "source: lavfi:testsrc2" in err
    assert "backend: openvino rt-s" in err
    assert "fps over" in printed


def test_a_stream_that_dies_comes_back_in_the_same_recording(clip, tmp_path):
    out = tmp_path / "out.mkv"
    served = write_stream_clip(tmp_path / "served.ts")
    with StreamServer("rtsp", served) as server, Webcam("--device", server.url, "--record", out) as running:
        found = running.wait_for(lambda: partial_with_pictures(tmp_path))
        for _ in range(2):
            server.kill()
            time.sleep(2.5)
            size = found[0].stat().st_size
            server.restart()
            running.wait_for(lambda size=size: found[0].stat().st_size > size + 3000)
        seconds, printed, err = running.end()
        assert running.process.returncode == 130, err
    assert seconds < 3
    assert "2 reconnects" in printed
    instants = [frame.seconds for frame in frames_of(out)]
    assert instants == sorted(set(instants))
    gaps = [float(later - earlier) for earlier, later in itertools.pairwise(instants)]
    assert sum(gap > 2 for gap in gaps) == 2  # the time without a picture stays in the file


def test_an_interrupted_recording_is_playable_even_after_a_kill(tmp_path):
    with Webcam("--device", TESTSRC, "--record", tmp_path / "out.mkv") as running:
        found = running.wait_for(lambda: partial_with_pictures(tmp_path))
        running.process.kill()
    assert frames_of(found[0])


def test_the_page_is_there_and_a_stranger_is_kept_out():
    pytest.importorskip("aiohttp", reason="aiohttp is not installed: extra 'web'")
    with Webcam(
        "--device", TESTSRC, "--web", f"0.0.0.0:{free_port()}", "--token", "open-sesame-open"
    ) as running:
        lines = iter(running.process.stderr.readline, "")
        page = next(line.split()[1] for line in lines if line.startswith("page: "))
        url = page.replace("0.0.0.0", "127.0.0.1")
        with urllib.request.urlopen(url, timeout=10) as answer:
            assert b"malle-rt" in answer.read()
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(url.partition("?")[0], timeout=10)
        seconds, _, err = running.end()
    assert seconds < 3, err


def test_what_cannot_work_is_said_in_one_line(tmp_path, clip):
    record = ("--record", tmp_path / "x.mkv")
    assert "no camera" in fails(*record, "--device", "17")
    assert "nowhere.mp4" in fails(*record, "--device", tmp_path / "nowhere.mp4")
    assert "127.0.0.1" in fails(*record, "--device", f"rtsp://user:secret@127.0.0.1:{free_port()}/x")
    assert "no window and no output" in fails("--device", clip, code=2)
    assert "view must be one of" in fails(*record, "--device", clip, "--view", "upside-down", code=2)
    assert "strength must be" in fails(*record, "--device", clip, "--strength", "99", code=2)
    assert "max_latency must be positive" in fails(*record, "--device", clip, "--max-latency", "0", code=2)
    assert "token needs the page" in fails(*record, "--device", clip, "--token", "x", code=2)
    assert not list(tmp_path.glob("x*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_it_connects_ends_it_in_time(tmp_path, clip, number):
    with (
        StreamServer("silent", clip) as server,
        Webcam("--record", tmp_path / "x.mkv", "--device", server.url) as running,
    ):
        running.wait_for(lambda: is_connected_to(server.port))
        seconds, _, err = running.end(number)
    assert running.process.returncode == 128 + number, err
    assert seconds < 3
    assert "Traceback" not in err


def test_a_password_is_never_shown(tmp_path):
    url = f"rtsp://user:secret@127.0.0.1:{free_port()}/x"
    _, out, err = webcam("--record", tmp_path / "x.mkv", "--device", url)
    assert "secret" not in out + err


def test_an_existing_recording_is_not_replaced(tmp_path, clip):
    taken = tmp_path / "taken.mkv"
    taken.write_bytes(b"mine")
    assert "exists already" in fails("--device", clip, "--record", taken)
    assert taken.read_bytes() == b"mine"


def test_without_a_screen_it_says_what_to_do(clip):
    env = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    done = subprocess.run(
        [sys.executable, "-m", "malle_rt", "webcam", "--device", str(clip)],
        capture_output=True,
        text=True,
        timeout=60,
        env=env,
        check=False,
    )
    assert done.returncode == 1
    assert re.search("malle-rt: error: .*--no-window", done.stderr)
    assert "Traceback" not in done.stderr


def test_cameras_are_listed_with_their_modes():
    done = subprocess.run(
        [sys.executable, "-m", "malle_rt", "webcam", "--list"],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **fake_camera(cameras=2)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("camera ") == 2
    assert "640x480" in done.stdout


@pytest.mark.skipif(bool(list(Path("/dev").glob("video*"))), reason="there is a camera here")
def test_an_empty_list_is_said_in_one_line():
    assert "no camera found" in fails("--list")


def test_a_camera_that_is_unplugged_comes_back(tmp_path):
    out = tmp_path / "out.mkv"
    env = fake_camera(unplug_after=45, replug_seconds=0.5)
    code, printed, err = webcam("--device", "0", "--record", out, "--duration", "9", env=env)
    assert code == 0, err
    assert int(re.search(r"(\d+) reconnects", printed)[1]) >= 2
    assert "Traceback" not in err
    instants = [frame.seconds for frame in frames_of(out)]
    assert instants == sorted(set(instants))
    assert max(later - earlier for earlier, later in itertools.pairwise(instants)) > 0.4


def test_a_camera_that_cannot_be_used_is_said_in_one_line(tmp_path):
    record = ("--record", tmp_path / "x.mkv", "--device", "0")
    assert "another program" in fails(*record, env=fake_camera(busy=True))
    assert "permission" in fails(*record, env=fake_camera(denied=True))
