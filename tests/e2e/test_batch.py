"""Many files in one command."""

import json
import os
import signal
import subprocess
import sys
import time

import av
import pytest
from media import instants, write_clip

pytestmark = pytest.mark.slow  # each starts the program

MALLE = [sys.executable, "-m", "malle_rt"]
FAST = ("--backend", "none")


@pytest.fixture
def folder(tmp_path):
    """Six small clips, one of them broken, and a file that is no video."""
    (tmp_path / "in/sub").mkdir(parents=True)
    for name in ("a.mkv", "b.mp4", "c.mov", "d.ts", "sub/e.nut"):
        write_clip(tmp_path / "in" / name, frames=6, size=(64, 48), codec="libx264")
    (tmp_path / "in/broken.mp4").write_bytes(b"no film" * 500)
    (tmp_path / "in/notes.txt").write_text("words")
    return tmp_path


def batch(folder, *words, code=0):
    done = subprocess.run(
        [*MALLE, "transcode", *map(str, words), *FAST],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return done


def outcomes(done):
    """The words of the table, by the file's name."""
    rows = [line.split() for line in done.stdout.splitlines()[1:-1]]
    return {row[0]: row[1] for row in rows}


def videos(place):
    return sorted(
        path.relative_to(place).as_posix()
        for path in place.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    )


def test_a_folder_with_a_broken_file_and_the_same_command_again(folder):
    first = batch(folder, "in/", "--recursive", "-o", "out", code=1)
    names = ["a.mkv", "b.mp4", "c.mov", "d.ts", "sub/e.nut"]
    assert outcomes(first) == {f"in/{name}": "done" for name in names} | {"in/broken.mp4": "failed"}
    assert "6 files: 5 done, 1 failed" in first.stdout
    assert "1 other file is no video" in first.stderr
    assert first.stderr.count("backend: ") == 1
    assert videos(folder / "out") == [
        "a.clean.mkv",
        "b.clean.mp4",
        "c.clean.mov",
        "d.clean.ts",
        "sub/e.clean.nut",
    ]
    made = {path: path.stat().st_mtime_ns for path in (folder / "out").rglob("*.clean.*")}
    again = batch(folder, "in/", "--recursive", "-o", "out", code=1)
    assert outcomes(again) == {f"in/{name}": "skipped" for name in names} | {"in/broken.mp4": "failed"}
    assert made == {path: path.stat().st_mtime_ns for path in made}


def test_another_source_or_other_options_are_said_and_need_overwrite(folder):
    batch(folder, "in/a.mkv", "in/b.mp4", "-o", "out")
    write_clip(folder / "in/a.mkv", frames=7, size=(64, 48), codec="libx264")
    changed = batch(folder, "in/a.mkv", "in/b.mp4", "-o", "out", code=1)
    assert outcomes(changed) == {"in/a.mkv": "failed", "in/b.mp4": "skipped"}
    assert "was made from another source. Pass --overwrite" in changed.stderr
    made = batch(folder, "in/a.mkv", "in/b.mp4", "-o", "out", "--overwrite")
    assert outcomes(made) == {"in/a.mkv": "done", "in/b.mp4": "skipped"}
    assert "made again: out/a.clean.mkv was made from another source" in made.stdout
    assert len(instants(folder / "out/a.clean.mkv")) == 7
    other = batch(folder, "in/a.mkv", "in/b.mp4", "-o", "out", "--crf", "30", code=1)
    assert other.stderr.count("was made with other options") == 2
    every = batch(folder, "in/b.mp4", "-o", "out", "--overwrite", "--no-skip-existing")
    assert outcomes(every) == {"in/b.mp4": "done"}


def test_what_is_not_whole_or_not_ours_is_not_taken_for_done(folder):
    write_clip(folder / "in/a.mkv", frames=90, size=(64, 48), codec="libx264")
    batch(folder, "in/a.mkv", "-o", "out")
    output = folder / "out/a.clean.mkv"
    os.truncate(output, output.stat().st_size // 3)
    assert "is not whole" in batch(folder, "in/a.mkv", "-o", "out", code=1).stderr
    output.write_bytes((folder / "in/a.mkv").read_bytes())
    assert "was not made by malle-rt" in batch(folder, "in/a.mkv", "-o", "out", code=1).stderr


def test_our_own_outputs_are_no_inputs(folder):
    batch(folder, "in/a.mkv", "in/c.mov", "-o", "in")
    (folder / "in/c.clean.mov").rename(folder / "in/renamed.mov")
    done = batch(folder, "in/", "-o", "in", code=1)
    assert outcomes(done) == {
        "in/a.clean.mkv": "skipped",
        "in/a.mkv": "skipped",
        "in/b.mp4": "done",
        "in/broken.mp4": "failed",
        "in/c.mov": "done",
        "in/d.ts": "done",
        "in/renamed.mov": "skipped",
    }
    assert not [name for name in videos(folder / "in") if "clean.clean" in name]


def test_two_that_would_be_one_end_before_anything_runs(folder):
    write_clip(folder / "in/sub/a.mkv", frames=2, size=(64, 48))
    done = batch(folder, "in/a.mkv", "in/sub/a.mkv", "-o", "out", code=2)
    assert "in/a.mkv and in/sub/a.mkv would both become out/a.clean.mkv" in done.stderr
    assert not (folder / "out").exists()


def test_losses_alone_are_code_3(folder):
    clip = write_clip(folder / "in/cut.mkv", frames=60, size=(64, 48), codec="libx264")
    os.truncate(clip, clip.stat().st_size // 2)
    done = batch(folder, "in/cut.mkv", "in/a.mkv", "-o", "out", code=3)
    assert outcomes(done) == {"in/cut.mkv": "losses", "in/a.mkv": "done"}


def test_progress_for_programs(folder):
    done = batch(folder, "in/a.mkv", "in/broken.mp4", "in/b.mp4", "-o", "out", "--progress", "json", code=1)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert events[0] == {"event": "start", "schema": 1, "version": events[0]["version"], "files": 3}
    begun = [each for each in events if each["event"] == "file_start"]
    assert [(each["index"], each["input"], each["output"], each["frames"]) for each in begun] == [
        (1, "in/a.mkv", "out/a.clean.mkv", 6),
        (3, "in/b.mp4", "out/b.clean.mp4", 6),
    ]
    ended = [each for each in events if each["event"] == "file_end"]
    assert [(each["index"], each["outcome"], each["frames_done"]) for each in ended] == [
        (1, "done", 6),
        (2, "failed", 0),
        (3, "done", 6),
    ]
    assert "not a video" in ended[1]["reason"]
    goes = [each for each in events if each["event"] == "progress"]
    assert {"index", "frames_done", "frames", "fps", "seconds", "seconds_left", "total"} <= goes[-1].keys()
    assert goes[-1]["total"]["share"] == 1.0
    assert events[-1] == {
        "event": "end",
        "done": 2,
        "losses": 0,
        "skipped": 0,
        "failed": 1,
        "stopped": 0,
        "exit_code": 1,
    }
    assert "3 files: 2 done, 1 failed" in done.stderr


def test_progress_of_one_file_for_programs(folder):
    done = batch(folder, "in/a.mkv", "out.mkv", "--progress", "json")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["event"] for each in events if each["event"] != "progress"] == [
        "start",
        "file_start",
        "file_end",
        "end",
    ]
    assert events[-2]["outcome"] == "done"
    assert "wrote out.mkv" in done.stderr
    bad = batch(folder, "in/broken.mp4", "out2.mkv", "--progress", "json", code=1)
    events = [json.loads(line) for line in bad.stdout.splitlines()]
    assert [each["event"] for each in events] == ["start", "file_end", "end"]
    assert (events[1]["outcome"], events[2]["exit_code"]) == ("failed", 1)


def test_ctrl_c_ends_all_and_the_next_run_goes_on(folder):
    write_clip(folder / "in/b.mp4", frames=160, size=(640, 384), codec="libx264")
    words = ("in/a.mkv", "in/b.mp4", "in/c.mov", "-o", "out")
    process = subprocess.Popen(
        [*MALLE, "transcode", *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    end = time.monotonic() + 60
    partial = folder / "out/b.clean.partial.mp4"
    while time.monotonic() < end and not (partial.exists() and partial.stat().st_size > 20_000):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, (out, err)
    assert "1 done, 2 stopped" in out, (out, err)
    assert "what was done is in out/b.clean.partial.mp4" in out
    assert videos(folder / "out") == ["a.clean.mkv", "b.clean.partial.mp4"]
    write_clip(folder / "in/b.mp4", frames=6, size=(64, 48), codec="libx264")
    again = batch(folder, *words, code=1)
    assert outcomes(again) == {"in/a.mkv": "failed", "in/b.mp4": "done", "in/c.mov": "done"}
    assert "a.clean.mkv was made with other options" in again.stderr
    assert videos(folder / "out") == ["a.clean.mkv", "b.clean.mp4", "c.clean.mov"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["in/a.mkv", "in/b.mp4", "in/c.mov"], "these are more than one input"),
        (["in"], "in is more than one input"),
        (["in/*.mkv"], "in/*.mkv is more than one input"),
        (["--list", "x.txt"], "more than one input"),
        (["in/a.mkv", "--recursive"], "--recursive is for many inputs"),
        (["in/a.mkv", "-o", "out", "--preview", "4"], "--preview shows one video"),
        (["in/a.mkv", "-o", "out", "--keep-partial"], "leave it out"),
        (["in/a.mkv", "-o", "out", "--compare", "x.png"], "one picture for many videos"),
        (["in/a.mkv", "-o", "in/b.mp4"], "must be a folder"),
        (["in/a.mkv", "-o", "out", "--crf", "99"], "crf of libx264 must be"),
        ([], "required: IN"),
    ],
)
def test_what_cannot_work_is_one_line(folder, words, message):
    done = batch(folder, *words, code=2)
    assert message in done.stderr
    assert not (folder / "out").exists()


def test_two_films_are_no_input_and_output(folder):
    done = batch(folder, "in/a.mkv", "in/b.mp4", code=1)
    assert "--output-dir" in done.stderr
    assert "--overwrite" not in done.stderr


@pytest.mark.parametrize("suffix", [".mp4", ".m4v", ".mov", ".mkv", ".webm", ".nut", ".flv"])
def test_a_single_run_marks_its_output_and_keeps_the_comment(tmp_path, suffix):
    from malle_rt.media.own_outputs import read_mark

    clip = write_clip(tmp_path / "a.mkv", frames=2, size=(64, 48))
    batch(tmp_path, clip, f"out{suffix}")
    with av.open(str(tmp_path / f"out{suffix}")) as container:
        mark = read_mark(container)
    assert mark is not None
    assert len(mark.source) == 10
