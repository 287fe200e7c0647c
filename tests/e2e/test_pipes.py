"""Standard output as the place of a film, with another program at its end."""

import os
import shutil
import signal
import subprocess
import sys
import time

import av
import pytest
from media import instants, write_clip, write_film

pytestmark = pytest.mark.slow  # each starts the program

MALLE = [sys.executable, "-m", "malle_rt", "transcode"]
PLAIN = ["--backend", "none"]


def piped(*words, code=0, **options):
    """The bytes on standard output, and the text on standard error."""
    done = subprocess.run([*MALLE, *map(str, words), *PLAIN], capture_output=True, timeout=60, **options)
    error = done.stderr.decode()
    assert done.returncode == code, (done.returncode, error)
    assert "Traceback" not in error
    return done.stdout, error


def test_a_pipe_gets_raw_frames_and_nothing_else(tmp_path):
    clip = write_clip(tmp_path / "a.nut", frames=5)
    data, told = piped(clip, "-")
    assert data.startswith(b"YUV4MPEG2 W64 H48 F30000:1001 ")
    frame = len(b"FRAME\n") + 64 * 48 * 3 // 2
    assert len(data) == data.index(b"\n") + 1 + 5 * frame
    assert "backend: none" in told
    assert "5 frames in, 5 out" in told
    (tmp_path / "out.y4m").write_bytes(data)
    with av.open(str(clip)) as source, av.open(str(tmp_path / "out.y4m")) as result:
        pairs = zip(source.decode(video=0), result.decode(video=0), strict=True)
        assert all((one.to_ndarray() == other.to_ndarray()).all() for one, other in pairs)


@pytest.mark.parametrize("name", ["pipe:1", "/dev/stdout", "pipe:"])
def test_its_other_names(tmp_path, name):
    data, _ = piped(write_clip(tmp_path / "a.nut", frames=2), name, "-q")
    assert data.startswith(b"YUV4MPEG2")


@pytest.mark.parametrize(
    ("name", "wanted"), [("nut", "nut"), ("matroska", "matroska,webm"), ("mpegts", "mpegts")]
)
def test_other_formats_bring_the_sound_along(tmp_path, name, wanted):
    film = write_film(tmp_path / "film.mp4", frames=10)
    data, told = piped(film, "-", "--format", name)
    (tmp_path / "out").write_bytes(data)
    with av.open(str(tmp_path / "out")) as result:
        assert result.format.name == wanted
        assert [stream.type for stream in result.streams][:3] == ["video", "audio", "audio"], told
        assert sum(1 for _ in result.decode(video=0)) == 10


def test_raw_frames_have_no_sound_which_is_said(tmp_path):
    film = write_film(tmp_path / "film.mp4", frames=4)
    data, told = piped(film, "-")
    assert data.startswith(b"YUV4MPEG2")
    assert data.count(b"FRAME\n") == 4
    assert told.count("audio (aac), is left out: yuv4mpegpipe files cannot hold it") == 2, told


def test_standard_input_to_standard_output(tmp_path):
    clip = write_clip(tmp_path / "a.mkv", frames=6, codec="libx264")
    raw, _ = piped("-", "-", input=clip.read_bytes())
    again, _ = piped("-", "-", input=raw)
    assert again == raw


def test_a_format_is_whatever_the_file_is_called(tmp_path):
    clip = write_clip(tmp_path / "a.mkv", frames=3)
    piped(clip, tmp_path / "out.bin", "--format", "nut")
    assert len(instants(tmp_path / "out.bin")) == 3


def test_a_reader_that_has_seen_enough_ends_it_quietly(tmp_path):
    clip = write_clip(tmp_path / "a.nut", frames=200, size=(128, 96))
    process = subprocess.Popen(
        [*MALLE, str(clip), "-", *PLAIN, "-q"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout.read(100).startswith(b"YUV4MPEG2")
    process.stdout.close()
    error = process.stderr.read().decode()
    assert process.wait(30) == 128 + signal.SIGPIPE
    assert error == ""


def test_ctrl_c_while_the_reader_waits(tmp_path):
    clip = write_clip(tmp_path / "a.nut", frames=300, size=(128, 96))
    process = subprocess.Popen(
        [*MALLE, str(clip), "-", *PLAIN, "-q"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.read(100)
    begin = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    assert time.monotonic() - begin < 10
    process.communicate()


def test_a_terminal_is_refused(tmp_path):
    clip = write_clip(tmp_path / "a.nut", frames=2)
    terminal, other = os.openpty()
    try:
        done = subprocess.run(
            [*MALLE, str(clip), "-", *PLAIN], stdout=other, stderr=subprocess.PIPE, timeout=60, check=False
        )
    finally:
        os.close(terminal)
        os.close(other)
    assert done.returncode == 2
    assert b"standard output is a terminal" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-", "--progress", "json"], "--progress json needs standard output"),
        (["-", "--format", "mp4"], "format must be one of yuv4mpegpipe, nut, matroska, mpegts, got 'mp4'"),
        (["-", "--compare"], "--compare has no name beside standard output"),
        (["-o", "out", "--format", "nut"], "--format is for one output"),
    ],
)
def test_what_cannot_work_is_one_line_and_nothing_is_written(tmp_path, words, message):
    data, told = piped(write_clip(tmp_path / "a.nut", frames=2), *words, code=2, cwd=tmp_path)
    assert data == b""
    assert message in told


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the program ffmpeg")
def test_ffmpeg_at_both_ends(tmp_path):
    clip = write_clip(tmp_path / "a.mkv", frames=8, codec="libx264")
    first = ["ffmpeg", "-v", "error", "-i", str(clip), "-f", "yuv4mpegpipe", "-"]
    last = ["ffmpeg", "-v", "error", "-i", "-", "-f", "framemd5", "-"]
    with subprocess.Popen(first, stdout=subprocess.PIPE) as giver:
        middle = subprocess.Popen(
            [*MALLE, "-", "-", *PLAIN, "-q"], stdin=giver.stdout, stdout=subprocess.PIPE
        )
        done = subprocess.run(last, stdin=middle.stdout, capture_output=True, timeout=60, check=True)
        assert middle.wait(30) == 0
    direct = subprocess.run(
        [*last[:4], str(clip), *last[5:]], capture_output=True, timeout=60, check=True
    ).stdout
    frames = [line.split(b",")[-1] for line in done.stdout.splitlines() if line[:1] != b"#"]
    assert frames == [line.split(b",")[-1] for line in direct.splitlines() if line[:1] != b"#"]
    assert len(frames) == 8


# What docs/pipes.md pipes into, and the file that each makes; ffplay makes none.
READERS = {
    "SvtAv1EncApp": (["SvtAv1EncApp", "-i", "-", "--preset", "10", "-b", "out.ivf"], "out.ivf"),
    "x265": (["x265", "--y4m", "--preset", "ultrafast", "-o", "out.hevc", "-"], "out.hevc"),
    "ffplay": (["ffplay", "-v", "error", "-autoexit", "-i", "-"], None),
}


def reading(name, cwd, **options):
    """The program at the other end; nothing is shown where it would."""
    words = READERS[name][0]
    if shutil.which(words[0]) is None:
        pytest.skip(f"needs the program {name}")
    environment = os.environ | {"SDL_VIDEODRIVER": "dummy", "SDL_AUDIODRIVER": "dummy"}
    return subprocess.Popen(
        words, cwd=cwd, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **options
    )


@pytest.mark.parametrize("name", READERS)
def test_encoders_and_players_take_it(tmp_path, name):
    clip = write_clip(tmp_path / "a.nut", frames=6, size=(128, 96))
    with subprocess.Popen([*MALLE, str(clip), "-", *PLAIN, "-q"], stdout=subprocess.PIPE) as writer:
        reader = reading(name, tmp_path, stdin=writer.stdout)
        writer.stdout.close()
        error = reader.communicate(timeout=120)[1].decode()
        assert reader.returncode == 0, error
        assert writer.wait(60) == 0
    made = READERS[name][1]
    if made is not None:
        with av.open(str(tmp_path / made)) as result:
            assert sum(1 for _ in result.decode(video=0)) == 6


@pytest.mark.parametrize("name", READERS)
def test_one_that_goes_away_in_the_middle_ends_it_quietly(tmp_path, name):
    """Endless frames, so that it is in the middle whenever the program is ended."""
    clip = write_clip(tmp_path / "a.nut", frames=600, size=(128, 96))
    with subprocess.Popen(
        [*MALLE, str(clip), "-", *PLAIN, "-q"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as writer:
        assert writer.stdout.peek(1)  # it has begun
        reader = reading(name, tmp_path, stdin=writer.stdout)
        writer.stdout.close()
        time.sleep(0.3)
        reader.kill()
        reader.communicate(timeout=60)
        assert writer.stderr.read().decode() == ""
        assert writer.wait(60) == 128 + signal.SIGPIPE
