import inspect
import os
import subprocess
import sys
from dataclasses import fields
from fractions import Fraction

import pytest
from media import read_frames, write_clip

import malle_rt
from malle_rt.errors import ConfigError
from malle_rt.media.file_source import FileSource

PLAIN = malle_rt.DenoiseConfig(backend="none")


def test_denoise_video_takes_all_that_transcode_takes():
    here = inspect.signature(malle_rt.denoise_video).parameters
    there = {each.name: each.default for each in fields(malle_rt.TranscodeOptions)} | {"config": None}
    assert {name: here[name].default for name in there} == there


def test_a_part_of_a_video_with_all_that_can_be_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr("malle_rt.pipeline.pipeline._PROGRESS", 0)
    source = write_clip(tmp_path / "in.nut", frames=20, fps=Fraction(10))
    os.utime(source, (1_000_000, 1_000_000))
    seen = []
    report = malle_rt.denoise_video(
        source,
        tmp_path / "out.mkv",
        strength=8,
        encode=malle_rt.EncodeConfig(codec="ffv1"),
        start=0.5,
        duration=Fraction(1),
        compare=tmp_path / "compare.png",
        keep_times=True,
        hwaccel="none",
        strict=True,
        on_progress=seen.append,
    )
    frames, _ = read_frames(FileSource(report.output))
    assert len(frames) == report.pipeline.frames_out == 10
    assert report.sigma == 8
    assert report.compare == tmp_path / "compare.png" and report.compare.stat().st_size
    assert report.output.stat().st_mtime == 1_000_000
    assert seen and all(each.frames_out <= 10 for each in seen)


def test_what_cannot_work_is_said_before_anything_is_opened(tmp_path):
    source, output = tmp_path / "none.mp4", tmp_path / "out.mp4"
    with pytest.raises(ConfigError, match="pass one of the two"):
        malle_rt.denoise_video(source, output, strength=5, config=PLAIN)
    for value in (float("nan"), float("inf"), "soon"):
        with pytest.raises(ConfigError, match=r"start must be a number, got"):
            malle_rt.denoise_video(source, output, start=value)


def test_a_live_session_runs_from_the_public_names_alone(tmp_path):
    config = malle_rt.LiveConfig(
        capture=malle_rt.CaptureRequest(device="lavfi:testsrc2=size=64x48:rate=25:duration=0.4"),
        denoise=PLAIN,
        window=False,
        record=tmp_path / "a.mkv",
        folder=tmp_path,
    )
    with malle_rt.LiveSession(config) as session:
        report = session.run()
    assert report.saved == (tmp_path / "a.mkv",)


def test_the_public_names_need_no_torch():
    code = (
        "import sys, malle_rt, numpy\n"
        "for name in malle_rt.__all__: getattr(malle_rt, name)\n"
        "picture = numpy.full((32, 48, 3), 100, 'uint8')\n"
        "assert malle_rt.denoise_image(picture, strength=5, backend='openvino').shape == picture.shape\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
