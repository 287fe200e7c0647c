"""Snapshots are pairs, whole or not there, and never replace anything."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from helpers.outlets import shots, until

from malle_rt.live.outlets import naming
from malle_rt.live.outlets.snapshots import Snapshots
from malle_rt.media.rgb import to_rgb
from malle_rt.opencv import opencv


@pytest.fixture
def stopped_clock(monkeypatch):
    monkeypatch.setattr(naming.time, "strftime", lambda form: "malle-rt-20261122-153045")
    monkeypatch.setattr(naming, "_given", ("", 0))


def shot():
    raw, clean = shots(2)
    return replace(clean, raw=raw)


def read_rgb(path):
    return opencv().imread(str(path))[..., ::-1]


def test_a_pair_shows_what_the_screen_shows(tmp_path, stopped_clock):
    said = []
    snapshots = Snapshots(tmp_path, said.append)
    one = shot()
    assert snapshots.save(one)
    assert snapshots.save(one)
    assert snapshots.close(10)
    names = [
        f"malle-rt-20261122-153045{end}" for end in ("-2-clean.png", "-2-raw.png", "-clean.png", "-raw.png")
    ]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == names
    np.testing.assert_array_equal(read_rgb(tmp_path / names[3]), to_rgb(one.raw))
    np.testing.assert_array_equal(read_rgb(tmp_path / names[2]), to_rgb(one))
    assert said == [f"saved {tmp_path / names[2]}", f"saved {tmp_path / names[0]}"]


def test_nothing_is_replaced(tmp_path, stopped_clock):
    there = tmp_path / "malle-rt-20261122-153045-raw.png"
    there.write_bytes(b"precious")
    snapshots = Snapshots(tmp_path, lambda text: None)
    snapshots.save(shot())
    assert snapshots.close(10)
    assert there.read_bytes() == b"precious"
    assert len(list(tmp_path.iterdir())) == 3


def test_too_many_are_refused_and_nobody_waits(tmp_path):
    gate, said = threading.Event(), []

    def say(text):
        said.append(text)
        if text.startswith("saved"):
            gate.wait(20)

    snapshots = Snapshots(tmp_path, say)
    assert snapshots.save(shot())
    assert until(lambda: len(said) == 1)
    assert [snapshots.save(shot()) for _ in range(6)] == [True] * 4 + [False] * 2
    assert said[1:] == ["snapshot left out: the ones before are still being saved"] * 2
    gate.set()
    assert snapshots.close(10)
    assert len(list(tmp_path.iterdir())) == 10
    assert not snapshots.save(shot())
    assert said[-1] == "snapshot left out: saving has ended"


def test_whatever_goes_wrong_with_one_the_next_is_saved(tmp_path):
    said = []
    snapshots = Snapshots(tmp_path, said.append)
    assert snapshots.save(replace(shot(), pix_fmt="nonsense"))
    assert snapshots.save(shot())
    assert snapshots.close(10)
    assert said[0].startswith("snapshot: not saved (") and "\n" not in said[0]
    assert said[1].startswith("saved ")
    assert len(list(tmp_path.iterdir())) == 2


def test_a_bad_folder_is_named(tmp_path):
    said = []
    snapshots = Snapshots(tmp_path / "none", said.append)
    snapshots.save(shot())
    assert snapshots.close(10)
    assert said[0].startswith("snapshot: not saved (")
    assert "no folder" in said[0]


def test_a_full_disk_leaves_neither_of_the_two(small_disk):
    said = []
    # One picture fits.
    (raw,) = shots(1, size=(64, 48))
    (clean,) = shots(1, size=(640, 480), noise=60)
    snapshots = Snapshots(small_disk, said.append)
    snapshots.save(replace(clean, raw=raw))
    assert snapshots.close(10)
    assert "cannot be written" in said[0]
    assert list(small_disk.iterdir()) == []
