"""``malle-rt transcode`` as a user runs it: a process of its own, its files, messages and exit codes."""

import os
import re
import signal
import stat
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from media import (
    damage,
    indices,
    instants,
    join_files,
    read_frames,
    truncate,
    write_clip,
    write_film,
    write_planes,
)

from malle_rt.frame import pixel_layout
from malle_rt.media.file_source import FileSource

pytestmark = pytest.mark.slow  # each starts the program

MALLE = [sys.executable, "-m", "malle_rt"]


def malle(*words, timeout=120):
    return subprocess.run(
        [*MALLE, *map(str, words)], capture_output=True, text=True, timeout=timeout, check=False
    )


def transcode(*words):
    done = malle("transcode", *words)
    assert done.returncode == 0, done.stderr
    return done


def fails(*words, code=1):
    """One line on stderr besides the backend's, the exit code, and no traceback."""
    done = malle("transcode", *words)
    assert done.returncode == code, (done.returncode, done.stderr)
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("malle-rt: error: ")]
    assert len(lines) == 1, done.stderr
    return lines[0]


def noisy_clip(path, **options):
    """A clip with real noise, coded well enough to keep it."""
    from malle_rt.media.synthetic import SyntheticSource

    frames = options.pop("frames", 12)
    size = options.pop("size", (128, 96))
    pictures = [frame.planes for frame in SyntheticSource(frames, size, noise_sigma=15)]
    return write_planes(path, pictures, "yuv420p", **options)


def test_the_main_job(tmp_path):
    source = noisy_clip(tmp_path / "noisy.nut", codec="libx264", options={"crf": "10"})
    before = source.read_bytes()
    done = transcode(source, tmp_path / "clean.mp4", "--compare")
    assert "12 frames in, 12 out, 0 dropped" in done.stdout
    (backend,) = [line for line in (done.stderr + done.stdout).splitlines() if "backend" in line]
    assert backend.startswith("backend: openvino rt-s")
    assert len(backend) <= 100
    assert "strength 1" in done.stdout, "sigma 15 is found to within a third"
    assert source.read_bytes() == before
    assert instants(tmp_path / "clean.mp4") == [n * Fraction(1001, 30000) for n in range(12)]
    picture = cv2.imread(str(tmp_path / "clean.compare.png"))
    assert picture.shape == (3 * 96 + 2 * 4, 2 * 128 + 2, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clean.compare.png", "clean.mp4", "noisy.nut"]


@pytest.mark.parametrize("verbose", [[], ["-v"]], ids=["", "verbose"])
def test_without_the_fused_operator_one_warning_says_so(tmp_path, verbose):
    source = noisy_clip(tmp_path / "noisy.nut", frames=2, size=(64, 48))
    code = "from malle_rt.ops import native; native.extension_path = lambda: None; "
    code += "from malle_rt.cli import main; raise SystemExit(main())"
    command = [sys.executable, "-c", code, "transcode", source, *verbose, tmp_path / "clean.mkv"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    lines = (done.stderr + done.stdout).splitlines()
    assert [line.split(" ")[1] for line in lines if "fused slic" in line] == ["WARNING:", "openvino"]
    (backend,) = [line for line in lines if line.startswith("backend:")]
    assert "no fused slice" in backend
    assert len(backend) <= 100
    assert len(lines) == len(set(lines))


def test_the_output_is_cleaner_than_the_input(tmp_path):
    from malle_rt.media.synthetic import SyntheticSource

    source = noisy_clip(tmp_path / "noisy.nut")
    transcode(source, tmp_path / "clean.nut", "--codec", "ffv1", "--strength", 15)
    truth = SyntheticSource(12, (128, 96))
    errors = {}
    for name in ("noisy", "clean"):
        frames, _ = read_frames(FileSource(tmp_path / f"{name}.nut"))
        difference = frames[11].planes[0].astype(float) - truth.clean(11).planes[0]
        errors[name] = np.mean(difference[8:] ** 2)
    assert errors["clean"] < errors["noisy"] / 2


@pytest.mark.parametrize("options", [("--strength", 0), ("--mix", 0), ("--backend", "none")])
def test_identity_is_bit_exact(tmp_path, options):
    source = noisy_clip(tmp_path / "noisy.nut")
    transcode(source, tmp_path / "same.nut", "--codec", "ffv1", *options)
    before, after = (read_frames(FileSource(tmp_path / name))[0] for name in ("noisy.nut", "same.nut"))
    assert [frame.pts for frame in before] == [frame.pts for frame in after]
    for first, second in zip(before, after, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(first.planes, second.planes, strict=True))


def test_frames_keep_their_order_and_instants_at_a_variable_rate(tmp_path):
    pts = [0, 40, 50, 130, 200, 210, 215, 300, 1000, 1001, 1040, 1300]
    source = write_clip(tmp_path / "vfr.nut", pts=pts, time_base=Fraction(1, 1000))
    transcode(source, tmp_path / "out.nut", "--codec", "ffv1", "--strength", 5)
    frames, _ = read_frames(FileSource(tmp_path / "out.nut"))
    assert [frame.seconds for frame in frames] == [Fraction(p, 1000) for p in pts]


def test_sound_subtitles_chapters_and_metadata_come_along(tmp_path):
    film = write_film(tmp_path / "film.mkv")
    transcode(film, tmp_path / "out.mkv")
    with av.open(str(film)) as before, av.open(str(tmp_path / "out.mkv")) as after:
        assert [s.type for s in after.streams] == [s.type for s in before.streams]
        assert after.metadata["title"] == "A film"
        assert [c["metadata"] for c in after.chapters()] == [c["metadata"] for c in before.chapters()]
        sound = [[bytes(p) for p in c.demux(audio=0) if p.size] for c in (before, after)]
    assert sound[0] == sound[1]


def test_start_and_duration_cut_a_part(tmp_path):
    source = write_clip(tmp_path / "clip.mkv", frames=50, fps=Fraction(25), codec="libx264")
    transcode(source, tmp_path / "part.nut", "--start", "0:00.4", "--duration", "0.8", "--codec", "ffv1",
              "--strength", 0)  # fmt: skip
    frames, _ = read_frames(FileSource(tmp_path / "part.nut"))
    assert indices(frames) == list(range(10, 30))
    assert frames[0].seconds == 0


def test_the_default_name_is_beside_the_input(tmp_path):
    source = noisy_clip(tmp_path / "noisy.mp4", codec="libx264")
    transcode(source)
    assert (tmp_path / "noisy.clean.mp4").exists()


def test_reads_standard_input(tmp_path):
    source = write_film(tmp_path / "film.mkv")
    command = [*MALLE, "transcode", "-", str(tmp_path / "out.mkv"), "--strength", "5"]
    done = subprocess.run(command, input=source.read_bytes(), capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert len(instants(tmp_path / "out.mkv")) == 30
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert len(container.streams) == 4
    assert "must be named" in fails("-", code=2)


def test_webm_gets_an_encoder_that_it_can_hold(tmp_path):
    source = noisy_clip(tmp_path / "noisy.mkv", frames=4)
    transcode(source, tmp_path / "clean.webm")
    with av.open(str(tmp_path / "clean.webm")) as container:
        assert container.streams.video[0].codec_context.name in {"vp9", "libvpx-vp9"}


def test_overwrite_must_be_asked_for(tmp_path):
    source = noisy_clip(tmp_path / "noisy.mkv")
    (tmp_path / "out.mkv").write_bytes(b"precious")
    assert "--overwrite" in fails(source, tmp_path / "out.mkv")
    assert (tmp_path / "out.mkv").read_bytes() == b"precious"
    transcode(source, tmp_path / "out.mkv", "--overwrite")
    assert len(instants(tmp_path / "out.mkv")) == 12


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.mp4", None, "missing.mp4"),
        ("empty.mp4", b"", "empty"),
        ("garbage.mp4", bytes(range(256)) * 64, "garbage.mp4"),
        ("text.xyz", b"just words\n" * 50, "text.xyz"),
    ],
)
def test_unreadable_inputs_are_named(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert message in fails(tmp_path / name, tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()


def test_a_file_without_video(tmp_path):
    with av.open(str(tmp_path / "sound.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    assert "no video" in fails(tmp_path / "sound.wav", tmp_path / "out.mp4")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--strength", "99"), "strength must be auto, light, medium, strong or 0 to 75, got 99"),
        (
            ("--strength", "loud"),
            "strength must be auto, light, medium, strong or a number from 0 to 75, got 'loud'",
        ),
        (("--mix", "2"), "mix must be 0 to 1, got 2"),
        (("--backend", "cuda9"), "backend must be one of"),
        (("--model", "rt-xxl"), "no model 'rt-xxl'"),
        (("--codec", "nope"), "no encoder named 'nope'"),
        (("--crf", "99"), "crf of libx264 must be 0 to 51, got 99"),
        (("--encoder-option", "novalue"), "NAME=VALUE"),
    ],
)
def test_options_that_cannot_work(tmp_path, options, message):
    source = noisy_clip(tmp_path / "noisy.mkv", frames=2)
    assert message in fails(source, tmp_path / "out.mkv", *options, code=2)
    assert not (tmp_path / "out.mkv").exists()


def test_places_that_cannot_be_written(tmp_path):
    source = noisy_clip(tmp_path / "noisy.mkv", frames=2)
    assert "nowhere" in fails(source, tmp_path / "nowhere" / "out.mkv")
    same = fails(source, source, "--overwrite")
    assert "input" in same
    assert len(instants(source)) == 2
    assert "out.unknown" in fails(source, tmp_path / "out.unknown", code=2)


def test_a_full_disk_is_named_and_nothing_is_left(tmp_path, small_disk):
    source = noisy_clip(tmp_path / "noisy.nut", frames=40, size=(320, 192))
    error = fails(source, small_disk / "out.mkv", "--codec", "ffv1", "--strength", 0)
    assert "the disk is full" in error
    assert list(small_disk.iterdir()) == []


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (1919, 1079)])
def test_odd_sizes(tmp_path, size):
    width, height = size
    planes = tuple(
        np.full(shape, 120, np.uint8) for shape in ((height, width), *[(-(-height // 2), -(-width // 2))] * 2)
    )
    source = write_planes(tmp_path / "odd.nut", [planes] * 2, "yuv420p", codec="rawvideo")
    transcode(source, tmp_path / "out.nut", "--codec", "rawvideo", "--strength", 10)
    frames, _ = read_frames(FileSource(tmp_path / "out.nut"))
    assert [(frame.width, frame.height) for frame in frames] == [size] * 2
    transcode(source, tmp_path / "out.mp4", "--strength", 10)
    assert len(instants(tmp_path / "out.mp4")) == 2


@pytest.mark.parametrize("pix_fmt", ["yuv422p", "yuv444p", "gray", "yuv420p10le", "yuv422p10le"])
def test_other_formats_stay_what_they_are(tmp_path, pix_fmt):
    source = write_clip(tmp_path / "clip.nut", frames=4, pix_fmt=pix_fmt)
    transcode(source, tmp_path / "out.nut", "--codec", "ffv1", "--strength", 10)
    frames, _ = read_frames(FileSource(tmp_path / "out.nut"))
    assert [frame.pix_fmt for frame in frames] == [pix_fmt] * 4


def test_rgb_comes_back_as_a_picture_of_full_chroma(tmp_path):
    from malle_rt.media.synthetic import SyntheticSource

    pictures = [frame.planes for frame in SyntheticSource(4, (64, 48))]
    source = write_planes(tmp_path / "rgb.nut", pictures, "yuv420p", encode_as="bgr0")
    transcode(source, tmp_path / "out.mkv", "--strength", 10)
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert "444" in container.streams.video[0].format.name


def test_a_size_that_changes_on_the_way(tmp_path):
    parts = [
        write_clip(tmp_path / f"{n}.ts", size=size, codec="libx264", fps=Fraction(25))
        for n, size in enumerate([(64, 48), (96, 64)])
    ]
    source = join_files(tmp_path / "joined.ts", parts)
    done = transcode(source, tmp_path / "out.mkv", "--strength", 5)
    assert "WARNING" in done.stderr
    with av.open(str(tmp_path / "out.mkv")) as container:
        sizes = {(frame.width, frame.height) for frame in container.decode(video=0)}
    assert sizes == {(64, 48)}


def test_a_truncated_file_gives_what_is_there(tmp_path):
    source = truncate(write_clip(tmp_path / "clip.mkv", frames=60, codec="libx264"), 0.6)
    done = malle("transcode", source, tmp_path / "out.mkv", "--strength", 5)
    assert done.returncode == 3, done.stderr
    assert "s of the input are missing" in done.stdout
    assert 5 < len(instants(tmp_path / "out.mkv")) < 60


def index_first(clip):
    """The MP4 once more, with its index before its packets."""
    target = clip.with_name("first.mp4")
    with (
        av.open(str(clip)) as source,
        av.open(str(target), "w", container_options={"movflags": "faststart"}) as container,
    ):
        stream = container.add_stream_from_template(source.streams[0], opaque=True)
        for packet in source.demux():
            if packet.size:
                packet.stream = stream
                container.mux(packet)
    return target


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv"])
def test_how_much_is_missing_is_said_and_strict_refuses(tmp_path, suffix):
    clip = write_clip(tmp_path / f"clip{suffix}", frames=50, fps=Fraction(25), codec="libx264")
    if suffix == ".mp4":
        clip = index_first(clip)
    assert transcode(clip, tmp_path / "whole.mkv", "--backend", "none", "--strict").returncode == 0
    cut = truncate(clip, 0.5)
    done = malle("transcode", cut, tmp_path / "out.mkv", "--backend", "none", "--quiet")
    assert done.returncode == 3
    assert re.search(r"with losses: .*[0-2]\.\d s of the input are missing", done.stderr), done.stderr
    error = fails(cut, tmp_path / "none.mkv", "--backend", "none", "--strict")
    assert "missing" in error
    assert not (tmp_path / "none.mkv").exists()


def test_ticks_without_a_frame_are_no_loss(tmp_path):
    """AVI has a place for every tick of its clock; capture programs leave those of dropped frames empty."""
    clip = write_clip(tmp_path / "clip.avi", codec="mpeg4", pts=range(0, 40, 2), frames=20, fps=Fraction(50))
    transcode(clip, tmp_path / "out.mkv", "--backend", "none", "--strict")


def test_zeros_in_the_middle_are_reported(tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", frames=50, fps=Fraction(25), codec="libx264", size=(128, 96))
    data = bytearray(clip.read_bytes())
    data[len(data) // 3 : len(data) // 2] = bytes(len(data) // 2 - len(data) // 3)
    clip.write_bytes(data)
    done = malle("transcode", clip, tmp_path / "out.mkv", "--backend", "none")
    assert done.returncode == 3, done.stdout


def test_an_index_at_the_end_is_named_where_a_pipe_cannot_reach_it(tmp_path):
    clip = noisy_clip(tmp_path / "clip.mp4", frames=60, size=(320, 192), codec="libx264")
    command = [*MALLE, "transcode", "-", str(tmp_path / "out.mkv")]
    done = subprocess.run(command, input=clip.read_bytes(), capture_output=True, timeout=120, check=False)
    assert done.returncode == 1
    assert b"index at the end" in done.stderr


def test_damage_in_the_middle_is_skipped_and_reported(tmp_path):
    source = damage(write_clip(tmp_path / "clip.nut", frames=60), start=0.4, length=3000)
    done = malle("transcode", source, tmp_path / "out.mkv", "--strength", 5)
    assert done.returncode == 3, done.stderr
    assert done.stderr.count("damaged data") == 1
    assert "corrupt packets" in done.stdout
    assert 30 < len(instants(tmp_path / "out.mkv")) < 60


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_interrupted_it_leaves_a_playable_file(tmp_path, number, code):
    source = noisy_clip(tmp_path / "long.nut", frames=400, size=(640, 384), codec="libx264")
    process = subprocess.Popen(
        [*MALLE, "transcode", str(source), str(tmp_path / "out.mp4")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for_partial(tmp_path, process)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == code, err
    assert "out.partial.mp4" in out + err
    done = instants(tmp_path / "out.partial.mp4")
    assert 0 < len(done) < 400
    assert done == [n * Fraction(1001, 30000) for n in range(len(done))]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["long.nut", "out.partial.mp4"]
    transcode(source, tmp_path / "out.mp4", "--duration", "0.2")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["long.nut", "out.mp4"]


def wait_for_partial(folder, process):
    """Until the run has begun to write: encoded data has reached the unfinished output."""
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        if any(path.name != "long.nut" and path.stat().st_size > 20_000 for path in folder.iterdir()):
            return
        time.sleep(0.05)
    raise AssertionError("the run wrote nothing before it ended")


def test_help_answers_at_once():
    fastest = min(timed_help() for _ in range(3))
    assert fastest < 0.3


def timed_help():
    begin = time.perf_counter()
    done = malle("transcode", "--help")
    assert done.returncode == 0
    assert "--strength" in done.stdout
    return time.perf_counter() - begin


def test_quiet_says_nothing(tmp_path):
    done = transcode(noisy_clip(tmp_path / "noisy.mkv", frames=2), "--quiet")
    assert done.stdout == ""
    assert done.stderr == ""


def test_a_second_signal_gives_up_and_leaves_nothing(tmp_path):
    source = noisy_clip(tmp_path / "long.nut", frames=400, size=(640, 384), codec="libx264")
    process = subprocess.Popen(
        [*MALLE, "transcode", str(source), str(tmp_path / "out.mp4"), "--preset", "placebo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for_partial(tmp_path, process)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    left = sorted(path.name for path in tmp_path.iterdir())
    # The first signal may have been enough already on a fast machine; half a file is never left.
    assert left in (["long.nut"], ["long.nut", "out.partial.mp4"])


def test_a_silent_producer_does_not_hold_up_the_end(tmp_path):
    source = noisy_clip(tmp_path / "long.mkv", frames=200, size=(320, 192), codec="libx264")
    process = subprocess.Popen(
        [*MALLE, "transcode", "-", str(tmp_path / "out.mkv"), "--strength", "5"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    data = source.read_bytes()
    process.stdin.write(data[: len(data) // 2])  # and then nothing, with the pipe left open
    process.stdin.flush()
    time.sleep(4)
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=20)
    process.stdin.close()
    assert process.returncode == 143, process.stderr.read()
    assert 0 < len(instants(tmp_path / "out.partial.mkv")) < 200


def start(*words, **options):
    return subprocess.Popen(
        [*MALLE, "transcode", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def test_asked_for_the_partial_result_has_the_final_name(tmp_path):
    source = noisy_clip(tmp_path / "long.nut", frames=400, size=(640, 384), codec="libx264")
    process = start(source, tmp_path / "out.mkv", "--keep-partial")
    wait_for_partial(tmp_path, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert 0 < len(instants(tmp_path / "out.mkv")) < 400
    assert sorted(path.name for path in tmp_path.iterdir()) == ["long.nut", "out.mkv"]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_killed_it_leaves_what_plays_and_the_next_run_takes_its_place(tmp_path, suffix):
    source = noisy_clip(tmp_path / "long.nut", frames=400, size=(640, 384), codec="libx264")
    target = tmp_path / f"out{suffix}"
    process = start(source, target)
    wait_for_partial(tmp_path, process)
    other = malle("transcode", source, target)
    process.kill()
    process.communicate(timeout=30)
    assert other.returncode == 1
    assert "another run is writing it" in other.stderr
    assert len(instants(tmp_path / f"out.partial{suffix}")) > 0
    transcode(source, target, "--duration", "0.2")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["long.nut", target.name]


@pytest.mark.parametrize("filled", [0.0, 0.5])
def test_a_stalled_pipe_is_left_at_the_first_signal(tmp_path, filled):
    """Nothing comes at all, so that not even the format is known; half comes, and then nothing."""
    clip = noisy_clip(tmp_path / "long.mkv", frames=60, size=(320, 192), codec="libx264")
    data = clip.read_bytes()
    os.mkfifo(tmp_path / "pipe.mkv")
    process = start(tmp_path / "pipe.mkv", tmp_path / "out.mkv", "--strength", "5")
    with (tmp_path / "pipe.mkv").open("wb") as pipe:
        pipe.write(data[: int(len(data) * filled)])
        pipe.flush()
        time.sleep(4)
        begin = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
        assert time.monotonic() - begin < 4, err  # 2 s, and what a busy machine adds
    assert process.returncode == 130, err
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["long.mkv", *(["out.partial.mkv"] if filled else []), "pipe.mkv"]


@contextmanager
def stalling_server(data, sent):
    """The address of an HTTP server of this machine that sends so many bytes of its only file, and then nothing."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if sent:
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data[:sent])
            over.wait(60)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/long.mkv"
        finally:
            over.set()
            server.shutdown()
            thread.join(10)


@pytest.mark.parametrize("filled", [0.0, 0.5])
def test_a_stalled_download_is_left_at_the_first_signal(tmp_path, filled):
    """No answer at all; half of the file, and then nothing."""
    data = noisy_clip(tmp_path / "long.mkv", frames=60, size=(320, 192), codec="libx264").read_bytes()
    with stalling_server(data, int(len(data) * filled)) as url:
        process = start(url, tmp_path / "out.mkv", "--strength", "5")
        if filled:
            wait_for_partial(tmp_path, process)
        time.sleep(4)
        begin = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
        assert time.monotonic() - begin < 4, err  # 2 s, and what a busy machine adds
    assert process.returncode == 130, err
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["long.mkv", *(["out.partial.mkv"] if filled else [])]
    assert not filled or 10 <= len(instants(tmp_path / "out.partial.mkv")) < 60


@pytest.mark.skipif(sys.platform != "linux", reason="limits of addresses are Linux's")
@pytest.mark.parametrize("mebibytes", [200, 300, 700, 1000])
def test_a_limit_too_low_is_one_line_about_memory(tmp_path, mebibytes):
    import resource

    clip = noisy_clip(tmp_path / "clip.mkv", frames=4)
    bytes_ = mebibytes << 20
    process = start(
        clip,
        tmp_path / "out.mkv",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (bytes_, bytes_)),
    )
    _, err = process.communicate(timeout=60)
    assert process.returncode in (1, 2), err
    (line,) = err.splitlines()
    assert line.startswith("malle-rt: error: ") and "memory" in line
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mkv"]


def test_a_picture_too_large_for_the_memory_is_refused_with_the_figures(tmp_path):
    """8192x4320, of which nothing but the first frame is decoded."""
    import resource

    with av.open(str(tmp_path / "large.mkv"), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 8192, 4320, "yuvj420p"
        container.mux(stream.encode(av.VideoFrame(8192, 4320, "yuvj420p")))
        container.mux(stream.encode())
    bound = 3 << 30
    process = start(
        tmp_path / "large.mkv",
        tmp_path / "out.mkv",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (bound, bound)),
    )
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2, err
    assert re.search(r"error: 8192x4320 needs about \d\.\d GiB of memory, \d\.\d GiB can be had\. ", err)
    assert [path.name for path in tmp_path.iterdir()] == ["large.mkv"]


def test_signals_that_the_caller_ignores_stay_ignored(tmp_path):
    source = noisy_clip(tmp_path / "long.nut", frames=100, size=(320, 192), codec="libx264")
    process = start(
        source, tmp_path / "out.mkv", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)
    )
    wait_for_partial(tmp_path, process)
    process.send_signal(signal.SIGHUP)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert len(instants(tmp_path / "out.mkv")) == 100


def shell(line, **options):
    return subprocess.run(
        ["sh", "-c", line], capture_output=True, text=True, timeout=120, check=False, **options
    )


@pytest.mark.parametrize("streams", ["2>&-", "2>/dev/full", ">&- 2>&-", "<&- >&- 2>&-"])
def test_errors_that_nobody_can_read_do_not_end_a_transcode(tmp_path, streams):
    clip = noisy_clip(tmp_path / "clip.mkv", frames=4)
    words = " ".join([*MALLE, "transcode", str(clip), str(tmp_path / "out.mkv"), "--backend", "none"])
    done = shell(f"{words} {streams}")
    assert done.returncode == 0, done.stderr
    assert len(instants(tmp_path / "out.mkv")) == 4


@pytest.mark.parametrize(("streams", "code"), [("> /dev/full", 1), ("| true", 0)])
def test_output_that_nobody_takes_is_one_line(tmp_path, streams, code):
    clip = noisy_clip(tmp_path / "clip.mkv", frames=4)
    words = " ".join([*MALLE, "transcode", str(clip), str(tmp_path / "out.mkv"), "--backend", "none"])
    done = shell(f"{words} {streams}")
    assert done.returncode == code
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
    assert ("No space left on device" in done.stderr) == bool(code)


def test_names_that_are_no_text(tmp_path):
    clip = noisy_clip(tmp_path / "clip.mkv", frames=2)
    odd = os.fsencode(tmp_path) + b"/\xff\xfe.mkv"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii:strict"}
    done = subprocess.run(
        [*MALLE, "transcode", os.fsencode(clip), odd],
        capture_output=True,
        env=environment,
        timeout=60,
        check=False,
    )
    assert b"Traceback" not in done.stderr
    assert done.returncode in (0, 1)
    assert (done.returncode == 0) == Path(os.fsdecode(odd)).exists()


@pytest.mark.parametrize(
    "words",
    [["--start", "1e30"], ["--duration", "1e999"], ["--duration", "1e99999999"], ["--start", "9" * 400]],
)
def test_numbers_beyond_reason(tmp_path, words):
    clip = noisy_clip(tmp_path / "clip.mkv", frames=2)
    done = malle("transcode", clip, tmp_path / "out.mkv", *words, timeout=20)
    assert done.returncode == 2
    assert "expected seconds" in done.stderr


def test_an_empty_name_is_none(tmp_path):
    clip = noisy_clip(tmp_path / "clip.mkv", frames=2)
    assert "empty" in fails(clip, "", code=2)


def test_another_film_as_the_output_is_not_offered_for_replacement(tmp_path):
    clips = [noisy_clip(tmp_path / name, frames=2) for name in ("a.mkv", "b.mkv")]
    error = fails(*clips)
    assert "--overwrite" not in error
    assert "one input and one output" in error


def test_the_comparison_never_replaces_the_input(tmp_path):
    picture = tmp_path / "in.png"
    cv2.imwrite(str(picture), np.full((48, 64, 3), 90, np.uint8))
    before = picture.read_bytes()
    assert "input itself" in fails(picture, tmp_path / "out.mkv", "--overwrite", "--compare", picture)
    assert picture.read_bytes() == before


def test_a_linked_output_is_written_where_the_link_points(tmp_path):
    clip = noisy_clip(tmp_path / "clip.mkv", frames=2)
    (tmp_path / "far").mkdir()
    (tmp_path / "out.mkv").symlink_to(tmp_path / "far" / "real.mkv")
    transcode(clip, tmp_path / "out.mkv")
    assert (tmp_path / "out.mkv").is_symlink()
    assert [path.name for path in (tmp_path / "far").iterdir()] == ["real.mkv"]


def test_a_pipe_as_the_output_is_written(tmp_path):
    clip = noisy_clip(tmp_path / "clip.mkv", frames=5)
    os.mkfifo(tmp_path / "out.mp4")
    process = start(clip, tmp_path / "out.mp4")
    (tmp_path / "read.mp4").write_bytes((tmp_path / "out.mp4").read_bytes())
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert len(instants(tmp_path / "read.mp4")) == 5
    assert stat.S_ISFIFO((tmp_path / "out.mp4").stat().st_mode)


def test_a_device_is_no_output(tmp_path):
    clip = noisy_clip(tmp_path / "clip.mkv", frames=2)
    (tmp_path / "out.mkv").symlink_to("/dev/null")
    assert "device" in fails(clip, tmp_path / "out.mkv", "--overwrite")


def test_others_may_not_read_the_output_where_they_may_not_read_the_input(tmp_path):
    clip = noisy_clip(tmp_path / "clip.mkv", frames=2)
    clip.chmod(0o600)
    transcode(clip, tmp_path / "out.mkv")
    assert stat.S_IMODE((tmp_path / "out.mkv").stat().st_mode) == 0o600


def test_long_names(tmp_path):
    clip = noisy_clip(tmp_path / "clip.mkv", frames=2)
    transcode(clip, tmp_path / ("é" * 125 + "n.mkv"))
    assert len(list(tmp_path.iterdir())) == 2
    assert "shorter" in fails(clip, tmp_path / ("n" * 252 + ".mkv"))


@pytest.mark.parametrize("source", ["file:{}", "{}"])
def test_the_input_survives_whatever_it_is_called(tmp_path, source):
    clip = noisy_clip(tmp_path / "clip.mkv", frames=2)
    before = clip.read_bytes()
    assert "input itself" in fails(source.format(clip), clip, "--overwrite")
    assert clip.read_bytes() == before


def test_colons_in_names_are_not_protocols(tmp_path):
    clip = noisy_clip(tmp_path / "12:30.mkv", frames=2)
    done = subprocess.run(
        [*MALLE, "transcode", clip.name, "12:31.mkv"],
        cwd=tmp_path,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(instants(tmp_path / "12:31.mkv")) == 2


def test_an_existing_comparison_is_not_replaced(tmp_path):
    clip = noisy_clip(tmp_path / "clip.mkv", frames=2)
    (tmp_path / "shown.png").write_bytes(b"precious")
    assert "--overwrite" in fails(clip, tmp_path / "out.mkv", "--compare", tmp_path / "shown.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mkv", "shown.png"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["."], "more than one input"),
        (["clip.mkv", "."], "must be a file name"),
        (["clip.mkv", "out.m3u8"], "more than one file"),
    ],
)
def test_names_that_are_none(tmp_path, words, message):
    clip = noisy_clip(tmp_path / "clip.mkv", frames=2)
    words = [str(clip) if word == "clip.mkv" else word for word in words]
    assert message in fails(*words, code=2)


def test_a_preview_is_a_sheet_of_labelled_crops(tmp_path):
    clip = noisy_clip(tmp_path / "noisy.nut")
    done = transcode(clip, "--preview", "0,4, 20,auto")
    sheet = cv2.imread(str(tmp_path / "noisy.preview.png"))
    assert "noisy.preview.png: 128x96 pixels at column 0, row 0 of the frame at 0.27 s" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["noisy.nut", "noisy.preview.png"]
    tiles = [sheet[28:124, left : left + 128] for left in (0, sheet.shape[1] // 3 + 2)]
    np.testing.assert_array_equal(tiles[0], tiles[1], "strength 0 leaves the noise")
    roughness = [
        cv2.Laplacian(cv2.cvtColor(row[28:124], cv2.COLOR_BGR2GRAY), cv2.CV_32F).std()
        for row in (sheet[:124], sheet[128:])
    ]
    assert roughness[1] < roughness[0], "the second row holds strengths 20 and auto"


def test_start_chooses_the_place_of_a_preview_and_out_its_name(tmp_path):
    clip = noisy_clip(tmp_path / "noisy.nut", frames=40)
    done = transcode(clip, tmp_path / "sheet.png", "--preview", "4,8", "--start", "1")
    assert "sheet.png" in done.stdout and "at 1.27 s" in done.stdout  # frame 30 and eight more
    assert "no frame in the part" in fails(clip, tmp_path / "b.png", "--preview", "4", "--start", "9")


def test_a_preview_replaces_nothing_unasked_and_drops_no_option(tmp_path):
    clip = noisy_clip(tmp_path / "noisy.nut")
    sheet = tmp_path / "noisy.preview.png"
    sheet.write_bytes(b"mine")
    assert "--overwrite" in fails(clip, "--preview", "4")
    assert sheet.read_bytes() == b"mine"
    transcode(clip, "--preview", "4", "--overwrite", "-q")
    assert "input itself" in fails(sheet, sheet, "--preview", "4", "--overwrite")
    text = fails(clip, tmp_path / "b.png", "--preview", "4", "--crf", "9", "--keep-times", code=2)
    assert "leave out --crf, --keep-times" in text
    assert "must be a .png" in fails(clip, tmp_path / "clean.mp4", "--preview", "4", code=2)
    assert "1 to 15 strengths, got 16" in fails(clip, "--preview", ",".join("4" * 16), code=2)
    assert "0 to 75, got 80" in fails(clip, tmp_path / "b.png", "--preview", "80", code=2)
    done = malle("transcode", clip, "--preview", "4,,8")
    assert done.returncode == 2 and "expected strengths such as 4,8,12,auto" in done.stderr


def noisy_ramp(path, pix_fmt, *, fields=None):
    """From 100 to 130 of 255, in the codes of the format, with a little noise: too shallow for 8 bits."""
    layout, random = pixel_layout(pix_fmt), np.random.default_rng(0)
    scale = 1 << (layout.bits - 8)
    shapes = layout.plane_shapes(320, 64)
    pictures = [
        tuple(
            np.rint(scale * (np.linspace(100, 130, shape[1]) + random.normal(0, 3, shape))).astype(
                layout.dtype
            )
            for shape in shapes
        )
        for _ in range(8)
    ]
    return write_planes(path, pictures, pix_fmt, fields=fields and [fields] * len(pictures))


@pytest.mark.parametrize(
    ("pix_fmt", "options", "fields", "levels"),
    [
        ("yuv420p", (), None, 30),
        ("yuv420p10le", (), None, 120),
        ("yuv420p10le", ("--precision", "int8"), None, 120),
        ("yuv420p10le", ("--precision", "fp32", "--mix", "0.9"), None, 120),
        ("yuv420p10le", ("--codec", "libx264", "--crf", "6"), None, 120),
        ("yuv422p10le", ("--codec", "prores_ks"), None, 120),
        ("yuv420p10le", (), "top", 120),
        ("yuv420p10le", ("--deinterlace=frame",), "top", 120),
        ("yuv420p12le", (), None, 480),
    ],
)
def test_a_ramp_keeps_every_level_of_its_depth(tmp_path, pix_fmt, options, fields, levels):
    source = noisy_ramp(tmp_path / "ramp.nut", pix_fmt, fields=fields)
    codec = () if "--codec" in options else ("--codec", "ffv1")
    transcode(source, tmp_path / "clean.mkv", "--strength", "3", *codec, *options)
    frame = read_frames(FileSource(tmp_path / "clean.mkv"))[0][-1]
    assert frame.pix_fmt == pix_fmt
    for plane in frame.planes:
        inside = plane[8:-8, 8:-8]
        assert len(np.unique(inside)) >= 0.95 * levels * inside.shape[1] / plane.shape[1]


def test_bits_that_an_encoder_cannot_take_are_said(tmp_path):
    source = noisy_ramp(tmp_path / "ramp.nut", "yuv420p10le")
    done = transcode(source, tmp_path / "clean.ts", "--codec", "mpeg2video", "--backend", "none")
    assert (
        "cannot take yuv420p10le; encoding yuv420p: 8 of 10 bits a sample. Others keep more: libx26"
        in done.stderr
    )
