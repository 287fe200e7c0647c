"""Videos made in segments are those that one run makes, however often they were interrupted."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from media import write_clip, write_film, write_planes

from malle_rt import denoise_video
from malle_rt.api import Transcode, TranscodeOptions
from malle_rt.cli import main
from malle_rt.config import DenoiseConfig
from malle_rt.denoiser import PassThrough
from malle_rt.errors import ConfigError, SinkError
from malle_rt.media.conversion import planes_of
from malle_rt.media.encode_config import EncodeConfig
from malle_rt.media.synthetic import SyntheticSource
from malle_rt.segments import job as job_module
from malle_rt.segments import worker as worker_module
from malle_rt.segments.job import SegmentedTranscode, work_folder
from malle_rt.segments.plans import FrameReader

NOTHING = DenoiseConfig(backend="none")
LOSSLESS = EncodeConfig(codec="ffv1")


def pictures(path):
    with av.open(str(path)) as container:
        return [
            (picture.pts * picture.time_base, b"".join(plane.tobytes() for plane in planes_of(picture)))
            for picture in container.decode(video=0)
        ]


def other_packets(path):
    with av.open(str(path)) as container:
        return sorted(
            (packet.stream.index, packet.pts, packet.dts, bytes(packet))
            for packet in container.demux()
            if packet.stream.type != "video" and packet.size
        )


def segmented(source, output, *, config=NOTHING, encode=LOSSLESS, longest=24, shortest=12, jobs=1, **more):
    return SegmentedTranscode(
        source,
        output,
        TranscodeOptions(config=config, encode=encode, **more),
        longest=longest,
        shortest=shortest,
        jobs=jobs,
    )


def plain(source, output, *, config=NOTHING, encode=LOSSLESS, **more):
    with Transcode(source, output, TranscodeOptions(config=config, encode=encode, **more)) as job:
        return job.run()


@pytest.mark.parametrize(
    "name",
    [
        "out.mkv",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("out.mp4", "out.ts", "hevc.mp4", "vp9.webm", "av1.mkv", "prores.mov", "mpeg2.ts")
        ),
    ],
)
def test_times_sound_and_number_of_frames_are_those_of_one_run(tmp_path, name):
    codecs = {"hevc": "libx265", "vp9": "libvpx-vp9", "av1": "libsvtav1", "prores": "prores_ks"}
    codec = (codecs | {"mpeg2": "mpeg2video", "out": "libx264"})[name.split(".")[0]]
    film = write_film(tmp_path / "film.mkv", frames=60)
    whole, parts = tmp_path / f"whole-{name}", tmp_path / name
    plain(film, whole, encode=EncodeConfig(codec=codec))
    with segmented(film, parts, encode=EncodeConfig(codec=codec)) as job:
        report = job.run()
    assert report.output == parts and report.pipeline.frames_out == 60
    assert [when for when, _ in pictures(parts)] == [when for when, _ in pictures(whole)]
    assert other_packets(parts) == other_packets(whole)
    assert not work_folder(parts).exists()


def _variable(path):
    steps = np.cumsum([0, *([1, 1, 3, 2] * 30)])[:60]
    write_clip(path, frames=60, codec="libx264", pts=[int(each) for each in steps], fps=Fraction(30))


def _open_gop(path):
    options = {"x264-params": "open-gop=1:keyint=10:bframes=3:scenecut=0"}
    write_clip(path, frames=60, codec="libx264", options=options)


def _interlaced(path):
    source = SyntheticSource(60, (64, 48))
    planes = [frame.planes for frame in source]
    write_planes(path, planes, "yuv420p", codec="ffv1", fields=["top"] * 60)


SOURCES = {
    "variable.mp4": _variable,
    "open.mp4": _open_gop,
    "open.ts": _open_gop,
    "interlaced.mkv": _interlaced,
    "ten.mkv": lambda path: write_clip(path, frames=60, pix_fmt="yuv420p10le"),
}


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("part", [{}, {"start": Fraction(1, 2), "duration": Fraction(1)}])
def test_every_kind_of_source_gives_the_frames_of_one_run(tmp_path, name, part):
    source = tmp_path / name
    SOURCES[name](source)
    plain(source, tmp_path / "whole.mkv", **part)
    with segmented(source, tmp_path / "parts.mkv", **part) as job:
        job.run()
    assert pictures(tmp_path / "parts.mkv") == pictures(tmp_path / "whole.mkv")


@pytest.mark.parametrize("name", ["open.mp4", "variable.mp4", "open.ts", "interlaced.mkv"])
def test_a_run_that_was_stopped_is_gone_on_with_from_the_middle(tmp_path, name, monkeypatch):
    source = tmp_path / name
    SOURCES[name](source)
    plain(source, tmp_path / "whole.mkv")
    with segmented(source, tmp_path / "parts.mkv") as job:
        job._require_space = lambda: job.stop() if job._made else None
        report = job.run()
    assert report.output is None and "1 of" in report.note and "the same command goes on" in report.note
    assert not (tmp_path / "parts.mkv").exists()
    for left in work_folder(tmp_path / "parts.mkv").glob("00000[12].plan"):
        left.unlink()  # the first pass is gone on with, too
    (work_folder(tmp_path / "parts.mkv") / "end.json").unlink(missing_ok=True)
    monkeypatch.setattr("malle_rt.segments.plans._SKIPPED", 0)
    with segmented(source, tmp_path / "parts.mkv") as job:
        report = job.run()
    assert report.pipeline.earlier == 24
    assert pictures(tmp_path / "parts.mkv") == pictures(tmp_path / "whole.mkv")


@pytest.mark.slow
def test_seams_are_not_seen(tmp_path, any_generation):
    """No frame of segments is 0.1 dB worse than in one run, and they are the same whoever makes them."""
    noisy = SyntheticSource(96, (128, 96), noise_sigma=12)
    source = tmp_path / "noisy.mkv"
    write_planes(source, [frame.planes for frame in noisy], "yuv420p")
    config = DenoiseConfig(model=any_generation)
    plain(source, tmp_path / "whole.mkv", config=config)
    for jobs in (1, 2):
        with segmented(source, tmp_path / f"parts{jobs}.mkv", config=config, longest=36, jobs=jobs) as job:
            job.run()
    assert pictures(tmp_path / "parts1.mkv") == pictures(tmp_path / "parts2.mkv")

    def quality(path):
        with av.open(str(path)) as container:
            lumas = [planes_of(picture)[0].astype(float) for picture in container.decode(video=0)]
        errors = [np.mean((luma - noisy.clean(n).planes[0]) ** 2) for n, luma in enumerate(lumas)]
        return 10 * np.log10(255**2 / np.array(errors))

    lost = quality(tmp_path / "whole.mkv") - quality(tmp_path / "parts1.mkv")
    assert lost[:36].max() == 0  # to the last bit: before the first seam nothing differs
    assert lost.max() < 0.1 and lost.mean() <= 0.02


def _left(tmp_path, **more):
    """A job that was stopped after a segment."""
    source = tmp_path / "in.mkv"
    if not source.exists():
        write_clip(source, frames=60)
    with segmented(source, tmp_path / "out.mkv", **more) as job:
        job._require_space = lambda: job.stop() if job._made else None
        job.run()
    return source


def test_other_options_another_source_and_another_version_are_refused_with_the_reason(tmp_path):
    source = _left(tmp_path)
    output = tmp_path / "out.mkv"
    with pytest.raises(ConfigError, match=r"out\.mkv\.segments holds segments made with mix 1\.0, not 0\.5"):
        segmented(source, output, config=replace(NOTHING, mix=0.5))
    with pytest.raises(ConfigError, match="made with codec ffv1, not libx264"):
        segmented(source, output, encode=EncodeConfig())
    with pytest.raises(ConfigError, match="made with start None, not 1"):
        segmented(source, output, start=Fraction(1))
    job = work_folder(output) / "job.json"
    found = json.loads(job.read_text())
    for changed, reason in (
        ({"version": "malle-rt 0, PyAV 1"}, "made by malle-rt 0"),
        ({"weights": "0"}, "other weights"),
        ({"source": "0"}, "another source"),
    ):
        job.write_text(json.dumps(found | changed))
        with pytest.raises(ConfigError, match=reason):
            segmented(source, output)
    job.write_text(json.dumps(found))
    with segmented(source, output) as again:
        assert again.run().output == output


def test_two_runs_at_once_are_refused_and_a_finished_one_is_left(tmp_path):
    source = _left(tmp_path)
    with (
        segmented(source, tmp_path / "out.mkv") as job,
        pytest.raises(SinkError, match="another run is making it now"),
    ):
        segmented(source, tmp_path / "out.mkv")
    with segmented(source, tmp_path / "out.mkv") as job:
        job.run()
    with segmented(source, tmp_path / "out.mkv") as job:
        assert "is there already" in job.run().note


def test_damaged_segments_and_plans_are_made_again(tmp_path):
    source = _left(tmp_path)
    plain(source, tmp_path / "whole.mkv")
    folder = work_folder(tmp_path / "out.mkv")
    segment = folder / "000000.segment"
    segment.write_bytes(segment.read_bytes()[:-100] + bytes(100))
    (folder / "000001.plan").write_bytes(b"")
    with segmented(source, tmp_path / "out.mkv") as job:
        assert job.run().pipeline.earlier == 0
    assert pictures(tmp_path / "out.mkv") == pictures(tmp_path / "whole.mkv")


def test_a_file_whose_middle_shows_other_pictures_is_read_from_its_beginning(tmp_path, monkeypatch):
    source = _left(tmp_path)
    plain(source, tmp_path / "whole.mkv")
    monkeypatch.setattr("malle_rt.segments.plans._SKIPPED", 0)
    found = FrameReader._open

    def lying(self, pts):
        found(self, pts if pts is None else pts + 5)

    monkeypatch.setattr(FrameReader, "_open", lying)
    with segmented(source, tmp_path / "out.mkv") as job:
        job.run()
    assert pictures(tmp_path / "out.mkv") == pictures(tmp_path / "whole.mkv")


def test_too_little_room_is_said_before_anything_is_made(tmp_path, monkeypatch):
    source = write_clip(tmp_path / "in.mkv", frames=30)
    usage = os.statvfs_result((4096, 4096, 10, 2, 2, 0, 0, 0, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _: usage)
    with pytest.raises(
        SinkError, match=r"are still needed .* are free\. Free some; the same command then goes"
    ):
        segmented(source, tmp_path / "out.mkv")


@pytest.mark.parametrize(
    ("source", "output", "reason"),
    [
        ("-", "out.mkv", "cannot be read twice"),
        ("http://host/in.mp4", "out.mkv", "cannot be read twice"),
        ("in.mkv", "-", "a stream cannot be joined"),
        ("in.mkv", "out_%04d.png", "pictures are no video"),
    ],
)
def test_what_cannot_be_split_is_refused_in_one_line(tmp_path, monkeypatch, source, output, reason):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=reason):
        segmented(source, output)


@pytest.mark.slow
def test_a_job_that_dies_is_made_again_and_none_outlives_its_parent(tmp_path):
    source = write_clip(tmp_path / "in.mkv", frames=240)
    plain(source, tmp_path / "whole.mkv")
    with segmented(source, tmp_path / "out.mkv", jobs=2) as job:
        killed = []

        def kill():
            end = time.monotonic() + 20
            while not killed and time.monotonic() < end:
                for seat in list(job._seats.values()):
                    os.kill(seat._process.pid, signal.SIGKILL)
                    killed.append(seat)
                    return
                time.sleep(0.01)

        thread = threading.Thread(target=kill)
        thread.start()
        job.run()
        thread.join()
    assert killed
    assert pictures(tmp_path / "out.mkv") == pictures(tmp_path / "whole.mkv")


@pytest.mark.slow
def test_the_command_resumes_after_a_kill(tmp_path):
    source = write_clip(tmp_path / "in.mkv", frames=600)
    output = tmp_path / "out.mkv"
    command = [
        sys.executable,
        "-m",
        "malle_rt",
        "transcode",
        str(source),
        str(output),
        "--resume",
        "--jobs=1",
    ]
    command += ["--backend", "none", "--codec", "ffv1", "-q"]
    process = subprocess.Popen(command)
    end = time.monotonic() + 60
    while not list(tmp_path.glob("out.mkv.segments/*.segment")) and time.monotonic() < end:
        if process.poll() is not None:
            break
        time.sleep(0.005)
    process.kill()
    process.wait()
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert pictures(output) == pictures(source)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mkv", "out.mkv"]


@pytest.mark.slow
def test_jobs_take_all_gpus_in_turns(tmp_path, monkeypatch):
    began = []

    class Seat(worker_module.WorkerProcess):
        def __init__(self, work):
            began.append(work.config.gpu)
            super().__init__(replace(work, config=NOTHING))

    monkeypatch.setattr(job_module, "device_count", lambda: 2)
    monkeypatch.setattr(
        worker_module, "open_denoiser", lambda config: (PassThrough(), f"cuda on {config.gpu}")
    )
    monkeypatch.setattr(job_module, "WorkerProcess", Seat)
    film, output = write_film(tmp_path / "film.mkv", frames=60), tmp_path / "out.mkv"
    with segmented(film, output, config=DenoiseConfig(gpu="all"), jobs=None) as job:
        assert (job.jobs, job.backend) == (2, "cuda on 0")
        assert job.run().pipeline.frames_out == 60
    assert sorted(began) == [0, 1]


def test_what_segments_cannot_have_is_refused(tmp_path, capsys):
    for option in (
        {"keep_partial": True},
        {"compare": "a.png"},
        {"hwaccel": "cuda"},
        {"frame_rate": Fraction(24)},
    ):
        with pytest.raises(ConfigError, match=f"segments cannot be made with {next(iter(option))}="):
            segmented(tmp_path / "a.mkv", tmp_path / "b.mkv", **option)
    for more in (["out.mkv"], ["--output-dir", str(tmp_path / "out")]):
        write_clip(tmp_path / "a.mkv", frames=2)
        assert main(["transcode", str(tmp_path / "a.mkv"), *more, "--resume", "--compare", "-q"]) == 2
        said = capsys.readouterr().err
        assert (
            "segments cannot be made with --compare PICTURE. Leave out --resume, --jobs N and --gpu all"
            in said
        )


def test_from_python_it_is_an_argument(tmp_path):
    source = write_clip(tmp_path / "in.mkv", frames=60)
    reports = [
        denoise_video(source, tmp_path / f"{n}.mkv", config=NOTHING, encode=LOSSLESS, **more)
        for n, more in enumerate(({}, {"resume": True}, {"jobs": "auto"}, {"jobs": 2}))
    ]
    assert {report.pipeline.frames_out for report in reports} == {60}
    assert len({tuple(pictures(tmp_path / f"{n}.mkv")) for n in range(4)}) == 1
    with pytest.raises(ConfigError, match='jobs must be "auto" or a number of at least 1, got 0'):
        denoise_video(source, tmp_path / "no.mkv", jobs=0)
    with pytest.raises(ConfigError, match="cluster_storage is for a cluster"):
        denoise_video(source, tmp_path / "no.mkv", cluster_storage="s3://films/work")
    with pytest.raises(ConfigError, match="cannot be made with compare"):
        denoise_video(source, tmp_path / "no.mkv", resume=True, compare=tmp_path / "no.png")
