"""Recordings begin and end by keys, and survive a source that goes away."""

import time

import av
import pytest
from helpers.live import denoised, shot

from malle_rt.errors import SinkError
from malle_rt.live import recordings as module
from malle_rt.live.fan_out import FanOut
from malle_rt.live.latest import Latest
from malle_rt.live.news import News
from malle_rt.live.outlets.recording import Recording
from malle_rt.live.recordings import Recordings
from malle_rt.live.statistics import Meter
from malle_rt.media.synthetic import SyntheticSource
from malle_rt.media.template import Template

TEMPLATE = Template(info=SyntheticSource(1, (64, 48)).info)


@pytest.fixture
def live(tmp_path):
    fan_out, news = FanOut(Latest(), Meter(), max_latency=None, measures=False), News()
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
    settle(recordings, lambda: recordings.current)
    recordings.end()  # no picture came
    settle(recordings, lambda: recordings.problems)
    assert "no picture came" in recordings.problems[0]
    assert "no picture came" in news.text
    recordings.toggle()
    play(fan_out, range(4))
    recordings.close()
    assert len(recordings.paths) == 1
