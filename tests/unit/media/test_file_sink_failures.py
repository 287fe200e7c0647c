"""Writing real containers: nothing half-written ever shows, and what is wrong is said."""

import os
from fractions import Fraction

import pytest
from helpers.sink import read
from media import write_clip

from malle_rt.errors import ConfigError, SinkError
from malle_rt.media.encode_config import EncodeConfig
from malle_rt.media.file_sink import FileSink
from malle_rt.media.file_source import FileSource
from malle_rt.media.synthetic import SyntheticSource
from malle_rt.media.verify import Written, verify_end, verify_file

FFV1 = EncodeConfig(codec="ffv1")


def test_the_target_appears_only_at_the_end(tmp_path):
    target = tmp_path / "b.mkv"
    target.write_bytes(b"precious")
    source = SyntheticSource(5, (64, 48))
    sink = FileSink(target, source, overwrite=True)
    for frame in source:
        sink.write(frame)
    assert target.read_bytes() == b"precious"
    sink.finish()
    _, _, frames, _ = read(target)
    assert len(frames) == 5


def test_abort_leaves_nothing_and_spares_the_target(tmp_path):
    target = tmp_path / "b.mkv"
    target.write_bytes(b"precious")
    sink = FileSink(target, SyntheticSource(5, (64, 48)), overwrite=True)
    sink.write(SyntheticSource(5, (64, 48)).clean(0))
    sink.abort()
    sink.abort()
    assert target.read_bytes() == b"precious"
    assert [entry.name for entry in tmp_path.iterdir()] == ["b.mkv"]
    with pytest.raises(SinkError, match="already finished or given up"):
        sink.finish()


def test_no_frame_no_file(tmp_path):
    sink = FileSink(tmp_path / "b.mkv", SyntheticSource(5, (64, 48)))
    with pytest.raises(SinkError, match="no frame was written"):
        sink.finish()
    assert [entry.name for entry in tmp_path.iterdir()] == []


def test_an_existing_file_is_refused(tmp_path):
    path = write_clip(tmp_path / "a.nut")
    with pytest.raises(SinkError, match=r"exists already and is a video"):
        FileSink(path, SyntheticSource(5, (64, 48)))


@pytest.mark.parametrize("link", ["same", "hard", "symbolic", "dotted"])
def test_the_input_is_never_replaced(tmp_path, link):
    path = write_clip(tmp_path / "a.nut")
    target = {
        "same": path,
        "hard": tmp_path / "hard.nut",
        "symbolic": tmp_path / "sym.nut",
        "dotted": tmp_path / ".." / tmp_path.name / "a.nut",
    }[link]
    if link == "hard":
        os.link(path, target)
    if link == "symbolic":
        target.symlink_to(path)
    source = FileSource(path)
    try:
        with pytest.raises(SinkError, match="this is the input itself"):
            FileSink(target, source, FFV1, overwrite=True)
    finally:
        source.close()
    assert len(read(path)[2]) == 12


@pytest.mark.parametrize(("target", "message"), [("none/b.mkv", "no folder"), (".", "this is a folder")])
def test_says_what_is_wrong_with_the_place(tmp_path, target, message):
    with pytest.raises(SinkError, match=message):
        FileSink(tmp_path / target, SyntheticSource(5, (64, 48)))


@pytest.mark.parametrize(
    ("target", "config", "message"),
    [
        ("b.xyz", {}, r"no container format is known by the extension '.xyz'. Use .mkv"),
        ("b.webm", {}, r"^.webm files cannot hold libx264 video. Use .mkv.* such as vp9$"),
        ("b.gif", {}, r"^.gif files cannot hold libx264 video. .* such as gif$"),
        ("b.mka", {}, r"^.mka files hold no video. Use .mkv"),
        ("b.wav", {}, r"^.wav files hold no video. Use .mkv"),
        ("b.h264", {}, r"b.h264: a bare stream keeps no times of its frames. Use .mkv"),
        ("b.hevc", {"codec": "libx265"}, r"b.hevc: a bare stream keeps no times of its frames. Use .mkv"),
        (
            "b.avif",
            {"codec": "libsvtav1"},
            r"b.avif: more than one picture in such a file cannot be read back",
        ),
        ("b.jpg", {}, r"b.jpg: image2 output is more than one file.*frame_%04d.png"),
        ("b.mkv", {"options": {"x264-parms": "a"}}, r"encoder libx264 has no option x264-parms"),
        ("b.mkv", {"preset": "warp"}, r"encoder libx264 refuses 64x48 yuv420p with .*preset=warp"),
    ],
)
def test_says_what_does_not_fit_together(tmp_path, target, config, message):
    with pytest.raises(ConfigError, match=message):
        FileSink(tmp_path / target, SyntheticSource(5, (64, 48)), EncodeConfig(**config))
    assert [entry.name for entry in tmp_path.iterdir()] == []


def test_verification_finds_missing_frames(tmp_path):
    path = write_clip(tmp_path / "a.mkv", frames=10, fps=Fraction(25))
    step = Fraction(1, 25)
    verify_file(path, path, 0, Written(10, Fraction(0), 9 * step, step))
    with pytest.raises(SinkError, match="wrote 11 frames, but the file holds 10"):
        verify_file(path, path, 0, Written(11, Fraction(0), 9 * step, step))
    with pytest.raises(SinkError, match=r"frames span 0.440 s, but 0.360 s in the file"):
        verify_file(path, path, 0, Written(10, Fraction(0), 11 * step, step))
    path.write_bytes(b"")
    with pytest.raises(SinkError, match="cannot be read back"):
        verify_file(path, path, 0, Written(10, Fraction(0), 9 * step, step))


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.nut"])
def test_the_end_alone_tells_whether_a_recording_is_whole(tmp_path, name):
    step = Fraction(1, 25)
    path = write_clip(tmp_path / name, codec="libx264", frames=60, fps=Fraction(25), options={"g": "10"})
    verify_end(path, path, 0, Written(60, Fraction(0), 59 * step, step))
    with pytest.raises(SinkError, match=r"frames span 3.160 s, but 2.360 s in the file"):
        verify_end(path, path, 0, Written(80, Fraction(0), 79 * step, step))
    path.write_bytes(b"")
    with pytest.raises(SinkError, match="cannot be read back"):
        verify_end(path, path, 0, Written(60, Fraction(0), 59 * step, step))


def test_a_live_recording_keeps_what_it_has_when_it_is_given_up(tmp_path):
    source = SyntheticSource(5, (64, 48))
    sink = FileSink(tmp_path / "b.mkv", source, live=True)
    sink.abort()
    assert list(tmp_path.iterdir()) == []
    sink = FileSink(tmp_path / "b.mkv", source, live=True)
    for frame in source:
        sink.write(frame)
    sink.abort()
    sink.abort()
    assert [entry.name for entry in tmp_path.iterdir()] == ["b.mkv"]
    sink = FileSink(tmp_path / "c.mkv", source, live=True)
    sink.write(source.clean(0))
    (tmp_path / "c.mkv").write_bytes(b"precious")
    sink.abort()
    assert (tmp_path / "c.mkv").read_bytes() == b"precious"
    assert len(list(tmp_path.glob("c.partial.mkv"))) == 1


def test_a_full_disk_is_named_and_nothing_is_left(small_disk):
    source = SyntheticSource(60, (320, 240), noise_sigma=40)
    with pytest.raises(SinkError, match="the disk is full"):
        sink = FileSink(small_disk / "b.mkv", source, FFV1)
        try:
            for frame in source:
                sink.write(frame)
            sink.finish()
        except SinkError:
            sink.abort()
            raise
    assert [entry.name for entry in small_disk.iterdir()] == []
