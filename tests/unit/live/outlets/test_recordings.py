"""Recordings begin and end by keys, and survive a source that goes away."""

import time

import av
import pytest
from helpers.live import denoised, shot

from malle_rt.errors import SinkError
from malle_rt.live.fan_out import FanOut
from malle_rt.live.frame import Latest
from malle_rt.live.outlets import recording as module
from malle_rt.live.outlets.recording import Recording, Recordings
from malle_rt.live.statistics import Meter, StatusLine
from malle_rt.media.encode_config import EncodeConfig
from malle_rt.media.synthetic import SyntheticSource
from malle_rt.media.template import Template

TEMPLATE = Template(info=SyntheticSource(1, (64, 48)).info)


@pytest.fixture
def live(tmp_path):
    fan_out, news = FanOut(Latest(), Meter(), max_latency=None, measures=False), StatusLine()
    made = Recordings(lambda path: Recording(path, TEMPLATE, folder=tmp_path), fan_out, news)
    yield made, fan_out, news
    made.close()


def play(fan_out, indices):
    for index in indices:
        fan_out.write(denoised(shot(index)))
        time.sleep(0.002)


def frames(path):
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def settle(recordings, ready, lost_since=None):
    """Look as a session does until something is so."""
    deadline = time.monotonic() + 10
    while not ready():
        assert time.monotonic() < deadline
        recordings.look(lost_since)
        time.sleep(0.01)


def test_a_key_begins_and_ends_one(live, tmp_path):
    recordings, fan_out, news = live
    play(fan_out, range(3))
    recordings.toggle()
    path = recordings.current.path
    assert path.parent == tmp_path
    assert str(path) in news.text
    play(fan_out, range(3, 10))
    recordings.toggle()
    assert recordings.current is None
    play(fan_out, range(10, 13))
    settle(recordings, lambda: recordings.paths)
    assert recordings.paths == [path]
    assert frames(path) == 7
    assert news.text == f"saved {path}"


def test_a_source_that_is_gone_ends_the_file_and_a_return_begins_the_next(live, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_PATIENCE", 0.2)
    recordings, fan_out, _ = live
    first = tmp_path / "hall.mkv"
    recordings.begin(first)
    play(fan_out, range(5))
    lost = time.monotonic()
    recordings.look(lost)
    assert recordings.current is not None  # a moment is not worth a new file
    settle(recordings, lambda: recordings.paths, lost_since=lost)
    assert frames(first) == 5
    assert recordings.current is None
    recordings.look(None)
    assert recordings.current.path == tmp_path / "hall-2.mkv"
    play(fan_out, range(5, 9))
    settle(recordings, lambda: recordings.current is None, lost_since=time.monotonic() - 1)
    recordings.look(None)
    assert recordings.current.path == tmp_path / "hall-3.mkv"
    play(fan_out, range(9, 12))
    recordings.close()
    assert [frames(path) for path in recordings.paths] == [5, 4, 3]


def test_a_recording_ended_by_hand_stays_ended(live, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_PATIENCE", 0.0)
    recordings, fan_out, _ = live
    recordings.begin(tmp_path / "a.mkv")
    play(fan_out, range(2))
    settle(recordings, lambda: recordings.current is None, lost_since=time.monotonic() - 1)
    recordings.end()
    recordings.look(None)
    assert recordings.current is None


def lose(recordings, monkeypatch):
    """The source goes away for too long."""
    monkeypatch.setattr(module, "_PATIENCE", 0.0)
    settle(recordings, lambda: recordings.current is None, lost_since=time.monotonic() - 1)


def test_the_key_calls_off_what_would_go_on(live, tmp_path, monkeypatch):
    recordings, fan_out, news = live
    recordings.begin(tmp_path / "a.mkv")
    play(fan_out, range(2))
    lose(recordings, monkeypatch)
    assert recordings.active
    recordings.toggle()
    assert "nothing will be recorded" in news.text
    recordings.look(None)
    assert recordings.current is None
    recordings.close()
    assert recordings.paths == [tmp_path / "a.mkv"]
    assert not recordings.active


def test_one_begun_while_the_source_is_away_has_time_of_its_own(live, tmp_path):
    recordings, fan_out, _ = live
    recordings.begin(tmp_path / "a.mkv")
    recordings.look(time.monotonic() - 3600)
    assert recordings.current is not None
    play(fan_out, range(2))


def test_one_that_cannot_go_on_is_a_problem(live, tmp_path, monkeypatch):
    recordings, fan_out, _ = live
    folder = tmp_path / "disk"
    folder.mkdir()
    recordings.begin(folder / "a.mkv")
    play(fan_out, range(2))
    lose(recordings, monkeypatch)
    settle(recordings, lambda: recordings.paths, lost_since=time.monotonic())
    (folder / "a.mkv").unlink()
    folder.rmdir()
    recordings.look(None)
    assert recordings.current is None
    assert "could not go on" in recordings.problems[0]


def slow_recording(path):
    """An encoder that cannot keep up with what it is given here."""
    fan_out, size = FanOut(Latest(), Meter(), max_latency=None, measures=False), (640, 384)
    template = Template(info=SyntheticSource(1, size).info)
    recordings = Recordings(
        lambda path: Recording(path, template, EncodeConfig(preset="placebo")), fan_out, StatusLine()
    )
    shots = [denoised(shot(index, size=size)) for index in range(30)]  # drawing them takes its time
    recordings.begin(path)
    for each in shots:
        fan_out.write(each)
    return recordings


@pytest.mark.slow
def test_frames_that_a_slow_encoder_misses_are_told(tmp_path):
    recordings = slow_recording(tmp_path / "a.mkv")
    recordings.close()
    missing = 30 - frames(tmp_path / "a.mkv")
    assert missing > 0
    assert f"lacks {missing} frames" in recordings.notes[0]


@pytest.mark.slow
def test_one_that_is_not_finished_in_time_is_a_problem(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_FINISHING", 0.0)
    recordings = slow_recording(tmp_path / "a.mkv")
    recordings.close()
    assert "was not finished" in recordings.problems[0]
    assert not recordings.paths


def test_one_that_cannot_begin_is_told(live, tmp_path):
    recordings, _, news = live
    taken = tmp_path / "taken.mkv"
    taken.write_bytes(b"mine")
    with pytest.raises(SinkError, match="exists already"):
        recordings.begin(taken)
    assert recordings.current is None
    assert taken.read_bytes() == b"mine"
    gone = Recordings(
        lambda path: Recording(path, TEMPLATE, folder=tmp_path / "gone"),
        FanOut(Latest(), Meter(), max_latency=None, measures=False),
        news,
    )
    gone.toggle()
    assert gone.current is None
    assert "gone" in news.text


def test_one_that_breaks_is_told_and_the_rest_goes_on(live, tmp_path):
    recordings, fan_out, news = live
    recordings.begin(tmp_path / "a.mkv")
    recordings.end()  # no picture came
    settle(recordings, lambda: recordings.problems)
    assert "no picture came" in recordings.problems[0]
    assert "no picture came" in news.text
    recordings.toggle()
    play(fan_out, range(4))
    recordings.close()
    assert len(recordings.paths) == 1


def test_a_part_that_is_still_being_finished_keeps_its_name(tmp_path):
    first, second = tmp_path / "hall.mkv", tmp_path / "hall-2.mkv"
    assert module._next_part(first, ()) == second
    assert module._next_part(first, {second}) == tmp_path / "hall-3.mkv"
