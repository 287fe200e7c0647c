"""A watched folder: videos are cleaned once they are complete, tried again, and given up at last."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest
from media import write_clip

from malle_rt import watch as watching
from malle_rt.api import TranscodeOptions
from malle_rt.batch import BatchOptions
from malle_rt.config import DenoiseConfig
from malle_rt.errors import ConfigError, SinkError
from malle_rt.media.encode_config import EncodeConfig
from malle_rt.watch import FolderWatch, WatchOptions

pytest.importorskip("watchfiles")
LONGEST = 90.0
NOTHING = BatchOptions(
    transcode=TranscodeOptions(config=DenoiseConfig(backend="none")),
    encode=lambda _: EncodeConfig(codec="libx264"),
)


class Reporter:
    def __init__(self):
        self.ends = []

    def began(self, batch, item, backend):
        pass

    def went_on(self, batch, item, progress):
        pass

    def ended(self, item, error, then):
        self.ends.append((item.source.name, item.outcome, then))


@pytest.fixture
def place(tmp_path):
    (tmp_path / "in").mkdir()
    return tmp_path


@contextmanager
def watched(place, *, settle=0.1, tries=3, **more):
    """A watch in a thread; ended at the end."""
    reporter, failures = Reporter(), []
    options = WatchOptions(batch=NOTHING, settle=settle, tries=tries, **more)
    with FolderWatch(place / "in", place / "out", options) as watch:

        def run():
            try:
                watch.run(reporter)
            except Exception as exc:
                failures.append(exc)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield reporter
        finally:
            watch.stop()
            thread.join(LONGEST)
    assert not failures, failures


def wait_for(what):
    end = time.monotonic() + LONGEST
    while not what():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def clip(path, frames=6):
    return write_clip(path, frames=frames, size=(64, 48), codec="libx264")


def test_what_is_there_and_what_comes_is_cleaned_and_a_restart_does_none_again(place):
    clip(place / "in/a.mkv")
    (place / "in/notes.txt").write_text("words")
    with watched(place, recursive=True) as reporter:
        wait_for((place / "out/a.clean.mkv").exists)
        (place / "in/sub").mkdir()
        clip(place / "in/sub/b.mp4")
        wait_for((place / "out/sub/b.clean.mp4").exists)
        wait_for(lambda: len(reporter.ends) == 2)
    assert [each[:2] for each in reporter.ends] == [("a.mkv", "done"), ("b.mp4", "done")]
    made = {path: path.stat().st_mtime_ns for path in (place / "out").rglob("*.clean.*")}
    with watched(place, recursive=True) as reporter:
        wait_for(lambda: len(reporter.ends) == 2)
    assert [each[1] for each in reporter.ends] == ["skipped", "skipped"]
    assert made == {path: path.stat().st_mtime_ns for path in made}
    assert sorted(path.name for path in (place / "in").rglob("*")) == ["a.mkv", "b.mp4", "notes.txt", "sub"]


def test_a_file_that_grows_or_is_open_for_writing_is_waited_for(place):
    whole = clip(place / "whole.mkv", frames=120).read_bytes()
    growing = place / "in/growing.mkv"
    with watched(place, settle=0.3) as reporter, growing.open("wb") as file:
        for part in range(10):
            file.write(whole[part * len(whole) // 10 : (part + 1) * len(whole) // 10])
            file.flush()
            time.sleep(0.1)
        if sys.platform.startswith("linux"):
            time.sleep(0.8)  # longer than it settles
        assert not reporter.ends and not (place / "out/growing.clean.mkv").exists()
        file.close()
        wait_for(lambda: reporter.ends)
        assert reporter.ends[0][:2] == ("growing.mkv", "done")


def test_what_is_shorter_than_its_header_says_is_waited_for_and_then_cleaned_as_it_is(place, monkeypatch):
    whole = clip(place / "whole.mkv", frames=60).read_bytes()
    (place / "in/cut.mkv").write_bytes(whole[: len(whole) // 2])
    with watched(place) as reporter:
        time.sleep(1)
        assert not reporter.ends
        (place / "in/cut.mkv").write_bytes(whole)
        wait_for(lambda: reporter.ends)
    assert reporter.ends[0][:2] == ("cut.mkv", "done")
    monkeypatch.setattr(watching, "_PATIENCE", 5)
    (place / "in/other.mkv").write_bytes(whole[: len(whole) // 2])
    with watched(place) as reporter:
        wait_for(lambda: len(reporter.ends) == 2)
    assert ("other.mkv", "losses", "") in reporter.ends


def test_a_broken_video_is_tried_again_and_put_aside_with_the_reason(place, monkeypatch):
    monkeypatch.setattr(watching, "_FIRST_DELAY", 0.1)
    (place / "in/broken.mp4").write_bytes(b"no film" * 500)
    clip(place / "in/good.mkv")
    with watched(place, tries=2) as reporter:
        wait_for(lambda: len(reporter.ends) == 3)
    told = [then for name, _, then in reporter.ends if name == "broken.mp4"]
    assert told[0] == "attempt 1 of 2; again in 0 s"
    assert told[1] == f"given up after 2 attempts: it is {place}/in/quarantine/broken.mp4 now"
    assert (place / "in/quarantine/broken.mp4").read_bytes() == b"no film" * 500
    reason = (place / "in/quarantine/broken.mp4.reason.txt").read_text()
    assert "not a video" in reason and "2 attempts" in reason
    assert sorted(path.name for path in (place / "in").iterdir()) == ["good.mkv", "quarantine"]
    assert json.loads((place / "out/.malle-rt-watch.json").read_text()) == {}


def test_where_it_cannot_be_put_aside_it_is_left_and_not_tried_again_until_it_changes(place, monkeypatch):
    (place / "in/broken.mp4").write_bytes(b"no film" * 500)
    (place / "in/quarantine").write_text("in the way")
    with watched(place, tries=1) as reporter:
        wait_for(lambda: reporter.ends)
    assert "given up after 1 attempt, and left" in reporter.ends[0][2]
    with watched(place, tries=1) as reporter:
        time.sleep(0.6)
        assert not reporter.ends
        clip(place / "in/broken.mp4")
        wait_for(lambda: reporter.ends)
    assert reporter.ends[0][:2] == ("broken.mp4", "done")


def test_a_full_disk_is_no_fault_of_the_videos(place, monkeypatch):
    clip(place / "in/a.mkv")
    monkeypatch.setattr(watching, "_PAUSE", 0.2)
    full = [True, True, True]

    def fails(self, item):
        if full:
            full.pop()
            raise SinkError("the disk is full") from OSError(28, "No space left on device")
        return found(self, item)

    found = watching.Batch._open
    monkeypatch.setattr(watching.Batch, "_open", fails)
    with watched(place, tries=1) as reporter:
        wait_for((place / "out/a.clean.mkv").exists)
    assert [each[1] for each in reporter.ends] == ["failed", "done"], "said once, and not counted"
    assert reporter.ends[0][2] == "all wait, and it is tried again every 0 s"


def test_an_output_of_other_options_or_another_source_is_left(place):
    clip(place / "in/a.mkv")
    clip(place / "in/a.mpg.mkv").rename(place / "in/a.mpg")
    with watched(place) as reporter:
        wait_for(lambda: len(reporter.ends) == 2)
    assert sorted(each[1] for each in reporter.ends) == ["done", "failed"]
    assert reporter.ends[1][2] == "it is left as it is"
    assert sorted(path.name for path in (place / "in").iterdir()) == ["a.mkv", "a.mpg"]


def test_two_watches_for_one_folder_are_refused(place):
    with watched(place), pytest.raises(ConfigError, match="another process watches for it"):
        FolderWatch(place / "in", place / "out", WatchOptions(batch=NOTHING))


def command(place, *words):
    return [
        *(sys.executable, "-m", "malle_rt", "watch", str(place / "in"), str(place / "out")),
        *("--backend", "none", "--settle", "0.1", *words),
    ]


@pytest.mark.slow
def test_a_kill_is_an_attempt_and_the_next_start_goes_on(place):
    clip(place / "in/long.mkv", frames=1200)
    words = command(place, "--codec", "ffv1", "--resume", "--jobs=1", "--tries=2")
    segments = place / "out/long.clean.mkv.segments"

    def begin(least):
        process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
        wait_for(lambda: len(list(segments.glob("*.segment"))) >= least or process.poll() is not None)
        assert process.poll() is None, process.communicate()
        return process

    def attempts():
        (only,) = json.loads((place / "out/.malle-rt-watch.json").read_text()).values()
        return only["count"]

    process = begin(1)
    process.kill()
    process.communicate()
    assert attempts() == 1
    process = begin(2)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=LONGEST)
    assert process.returncode == 143 and "segments are done" in err, err
    assert attempts() == 1, "what was asked to stop has not failed"
    process = begin(0)
    wait_for(lambda: (place / "out/long.clean.mkv").exists() and not segments.exists())
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=LONGEST)
    assert process.returncode == 130 and "1 done, 0 given up" in err, err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--settle", "0"), "settle must be more than 0"),
        (("--tries", "0"), "tries must be from 1 to 100"),
        (("--crf", "99"), "crf of libx264 must be"),
        (("--resume", "--hwaccel", "cuda"), "segments cannot be made with --hwaccel cuda"),
    ],
)
def test_what_cannot_work_is_one_line(place, words, message):
    done = subprocess.run(command(place, *words), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr and "Traceback" not in done.stderr


def test_without_the_library_it_says_what_to_install(place, monkeypatch):
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    with (
        FolderWatch(place / "in", place / "out", WatchOptions(batch=NOTHING)) as watch,
        pytest.raises(ConfigError, match=r"malle-rt\[watch\]"),
    ):
        watch.run(Reporter())


def test_no_more_events_than_the_system_gives_is_said_and_the_folder_is_looked_through(
    place, monkeypatch, caplog
):
    import watchfiles

    def none(*_, **__):
        raise OSError("OS file watch limit reached")

    monkeypatch.setattr(watchfiles, "watch", none)
    monkeypatch.setattr(watching, "_RESCAN", 0.3)
    with watched(place) as reporter:
        time.sleep(0.5)
        clip(place / "in/a.mkv")
        wait_for(lambda: reporter.ends)
    assert "no events (OS file watch limit reached)" in caplog.text


def test_one_that_ended_the_process_so_often_is_given_up_before_it_does_again(place):
    source = clip(place / "in/a.mkv")
    (place / "out").mkdir()
    status = source.stat()
    found = {str(source): {"size": status.st_size, "mtime": status.st_mtime_ns, "count": 3}}
    (place / "out/.malle-rt-watch.json").write_text(json.dumps(found))
    with watched(place) as reporter:
        wait_for(lambda: reporter.ends)
    assert "given up after 3 attempts" in reporter.ends[0][2]
    assert "malle-rt ended while it was cleaned" in (place / "in/quarantine/a.mkv.reason.txt").read_text()
    assert not os.path.lexists(place / "in/a.mkv")
