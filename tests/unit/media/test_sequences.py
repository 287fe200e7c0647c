import tempfile
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from malle_rt.api import Transcode, TranscodeOptions
from malle_rt.cli import main
from malle_rt.config import DenoiseConfig
from malle_rt.errors import ConfigError, SinkError, SourceError
from malle_rt.media.encode_config import EncodeConfig
from malle_rt.media.file_source import FileSource
from malle_rt.media.opening import is_path
from malle_rt.media.sequences import find_sequence, is_sequence

COUNT, SIZE = 6, (48, 64)
UNCHANGED = DenoiseConfig(strength=0)


def picture(number, bits=8):
    """Its own level tells a picture from the others; (rows, columns, 3) BGR."""
    rng = np.random.default_rng(number)
    codes = np.clip(40 + 25 * number + rng.normal(0, 8, (*SIZE, 3)), 0, 255)
    return codes.astype(np.uint8) if bits == 8 else (codes * 257).astype(np.uint16)


def write(folder, name, numbers=range(COUNT), bits=8):
    for number in numbers:
        cv2.imwrite(str(folder / (name % number)), picture(number, bits))
    return str(folder / name)


def levels(folder, name, numbers):
    found = [cv2.imread(str(folder / (name % number)), cv2.IMREAD_UNCHANGED) for number in numbers]
    return [round((each.mean() / np.iinfo(each.dtype).max * 255 - 40) / 25) for each in found]


def transcode(source, output, config=UNCHANGED, **options):
    with Transcode(source, output, TranscodeOptions(config=config, **options)) as job:
        return job.run()


@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
@pytest.mark.parametrize("bits", [8, 16])
def test_pictures_become_pictures_of_the_same_numbers_and_depth(tmp_path, suffix, bits):
    if suffix == "webp" and bits == 16:
        pytest.skip("WebP has 8 bits")
    source = write(tmp_path, f"in_%04d.{suffix}", range(3, 3 + COUNT), bits)
    report = transcode(source, tmp_path / f"out_%02d.{suffix}")
    assert report.pipeline.frames_out == COUNT and report.output == tmp_path / f"out_%02d.{suffix}"
    for number in range(3, 3 + COUNT):
        before, after = (
            cv2.imread(str(tmp_path / name), cv2.IMREAD_UNCHANGED)
            for name in (f"in_{number:04d}.{suffix}", f"out_{number:02d}.{suffix}")
        )
        assert after.dtype == before.dtype and after.shape == before.shape
        lossy = suffix == "webp"  # written by OpenCV above, with loss
        assert np.abs(after.astype(int) - before).max() <= (3 if bits == 8 or lossy else 260)
    assert not [path for path in tmp_path.iterdir() if "partial" in path.name]
    assert not list(Path(tempfile.gettempdir()).glob(f"malle-rt-sequence-*/*{suffix}.{suffix}"))


def test_pictures_become_a_video_of_the_rate_asked_for(tmp_path):
    rate = Fraction(24000, 1001)
    report = transcode(write(tmp_path, "f%d.png"), tmp_path / "out.mkv", frame_rate=rate)
    assert report.pipeline.frames_out == COUNT
    with av.open(str(tmp_path / "out.mkv")) as container:
        video = container.streams.video[0]
        assert abs(Fraction(video.average_rate) - rate) < Fraction(1, 100)
        means = [frame.to_ndarray(format="rgb24").mean() for frame in container.decode(video)]
    assert [round((mean - 40) / 25) for mean in means] == list(range(COUNT))


def test_a_video_becomes_pictures_counted_from_one(tmp_path):
    transcode(write(tmp_path, "f%d.png"), tmp_path / "video.nut", encode=EncodeConfig(codec="ffv1"))
    transcode(tmp_path / "video.nut", tmp_path / "p_%03d.jpg")
    assert sorted(path.name for path in tmp_path.glob("p_*")) == [
        f"p_{n:03d}.jpg" for n in range(1, COUNT + 1)
    ]
    assert levels(tmp_path, "p_%03d.jpg", range(1, COUNT + 1)) == list(range(COUNT))


def test_pictures_are_cleaned(tmp_path):
    source = write(tmp_path, "f%d.png")
    transcode(source, tmp_path / "c%d.png", DenoiseConfig(strength=12))
    noisy, clean = (cv2.imread(str(tmp_path / name)).std(axis=(0, 1)).mean() for name in ("f5.png", "c5.png"))
    assert clean < 0.6 * noisy


def test_a_pattern_with_stars_goes_by_the_numbers_in_the_names(tmp_path):
    write(tmp_path, "f%d.png", range(12))
    found = find_sequence(str(tmp_path / "f*.png"))
    assert [path.name for path in found.files] == [f"f{n}.png" for n in range(12)]
    transcode(str(tmp_path / "f*.png"), tmp_path / "o%d.png")
    assert levels(tmp_path, "o%d.png", range(1, 6)) == list(range(5))


def test_a_folder_of_nothing_but_pictures_is_a_sequence(tmp_path):
    (folder := tmp_path / "shots %d").mkdir()
    write(folder, "f%d.png", range(12))
    (folder / ".DS_Store").touch()
    assert is_sequence(str(folder)) and not is_path(str(folder)) and not is_sequence(str(tmp_path))
    report = transcode(str(folder), tmp_path / "o%d.png")
    assert report.pipeline.frames_out == 12
    assert levels(tmp_path, "o%d.png", range(1, 6)) == list(range(5))
    assert (
        main(["transcode", str(folder), str(tmp_path / "v.mkv"), "--fps", "12", "--strength", "0", "-q"]) == 0
    )
    (folder / "notes.txt").touch()
    assert not is_sequence(str(folder)), "videos and other files make it a folder of many"
    with pytest.raises(SourceError, match="this is a folder"):
        FileSource(folder)


def test_missing_numbers_are_said_and_the_others_keep_theirs(tmp_path, caplog):
    source = write(tmp_path, "f_%03d.png", (1, 2, 5, 1000))
    report = transcode(source, tmp_path / "o_%03d.png")
    assert "of pictures 1 to 1000, 996 are missing" in caplog.text
    assert report.pipeline.frames_out == 4
    assert sorted(path.name for path in tmp_path.glob("o_*")) == [
        "o_001.png",
        "o_002.png",
        "o_005.png",
        "o_1000.png",
    ]


def test_what_is_a_sequence(tmp_path):
    (tmp_path / "100%d.png").touch()
    assert is_sequence("a/f_%04d.png") and is_sequence("a/*.jpg") and is_sequence("f%d.exr")
    for other in (
        "a.png",
        "-",
        "http://x/f_%04d.png",
        "*.mp4",
        "a_%04d.mkv",
        str(tmp_path / "100%d.png"),
        "%s.png",
    ):
        assert not is_sequence(other), other
    assert not is_path("f_%04d.png") and is_path("f.png")


def test_what_cannot_be_read_is_said(tmp_path):
    write(tmp_path, "f_%d.png", (1, 2))
    write(tmp_path, "f_%d.jpg", (1, 2))
    (tmp_path / "a1.exr").touch()
    (tmp_path / "bad1.png").write_bytes(b"words")
    for pattern, wanted in {
        "g_%d.png": "no such pictures",
        "nowhere/g_%d.png": "cannot be read",
        "f_%d_%d.png": "a pattern has one number",
        "a%d.exr": "EXR holds linear light",
        "bad%d.png": "bad",
    }.items():
        with pytest.raises(SourceError, match=wanted):
            FileSource(tmp_path / pattern)
    with pytest.raises(SourceError, match=r"files of several kinds \(.exr, .jpg, .png\)"):
        FileSource(tmp_path)
    with pytest.raises(ConfigError, match="more than 0 and at most 1000, got 0"):
        FileSource(tmp_path / "f_%d.png", frame_rate=Fraction(0))
    transcode(str(tmp_path / "f_%d.png"), tmp_path / "v.mkv")
    with pytest.raises(ConfigError, match="a frame rate is for a sequence of pictures"):
        FileSource(tmp_path / "v.mkv", frame_rate=Fraction(25))


def test_nothing_is_replaced_unasked_and_no_input_ever(tmp_path):
    source = write(tmp_path, "f_%d.png")
    before = (tmp_path / "f_3.png").read_bytes()
    with pytest.raises(SinkError, match="this is one of the input's pictures"):
        transcode(source, source, overwrite=True)
    with pytest.raises(SinkError, match="this is one of the input's pictures"):
        transcode(str(tmp_path / "f_[3-5].png"), tmp_path / "f_%d.png", overwrite=True)
    assert (tmp_path / "f_3.png").read_bytes() == before
    (tmp_path / "o_9.png").write_bytes(b"mine")
    with pytest.raises(SinkError, match="1 such pictures exist already"):
        transcode(source, tmp_path / "o_%d.png")
    assert sorted(path.name for path in tmp_path.glob("o_*")) == ["o_9.png"]
    with pytest.raises(SinkError, match="no folder"):
        transcode(source, tmp_path / "none" / "o_%d.png")
    with pytest.raises(ConfigError, match="pictures have no video encoder"):
        transcode(source, tmp_path / "p_%d.png", encode=EncodeConfig())
    with pytest.raises(ConfigError, match=r"pictures have a number in their name, such as frame_%04d\.png"):
        transcode(source, tmp_path / "p.png")


def test_the_command_takes_pictures(tmp_path, capsys):
    source = write(tmp_path, "f_%02d.png")
    assert main(["transcode", source, str(tmp_path / "o_%02d.png"), "--strength", "12", "--fps", "24"]) == 0
    assert f"wrote {tmp_path / 'o_%02d.png'}" in capsys.readouterr().out
    assert len(list(tmp_path.glob("o_*"))) == COUNT
    assert main(["transcode", source, str(tmp_path / "p_%02d.png"), "--crf", "20"]) == 2
    assert "pictures have no video encoder" in capsys.readouterr().err
    assert main(["transcode", source, "--output-dir", str(tmp_path)]) == 2
    assert "these are the pictures of one video" in capsys.readouterr().err
    assert main(["transcode", source]) == 2
    assert "an output must be named for pictures" in capsys.readouterr().err
