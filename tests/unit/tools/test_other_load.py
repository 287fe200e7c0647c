import os
import time

import pytest

from malle_rt import measuring
from malle_rt.measuring import OtherLoad

TICKS = os.sysconf("SC_CLK_TCK")


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine whose CPU time is what the test says; this process used none of it."""
    stat = tmp_path / "stat"
    monkeypatch.setattr(measuring, "_STAT", stat)
    monkeypatch.setattr(measuring.os, "times", lambda: (0.0, 0.0, 0.0, 0.0, 0.0))

    def used(seconds):
        stat.write_text(f"cpu  {int(seconds * TICKS)} 0 0 12345 678 0 0 0 0 0\ncpu0 1 2 3\n")

    return used


def test_counts_what_others_used(machine, monkeypatch):
    clock = iter([100.0, 110.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    machine(50)
    load = OtherLoad()
    machine(65)
    assert load.cores() == pytest.approx(1.5)


def test_our_own_time_is_left_out(machine, monkeypatch):
    machine(50)
    load = OtherLoad()
    machine(65)
    monkeypatch.setattr(measuring.os, "times", lambda: (5.0, 1.0, 8.0, 1.0, 0.0))
    assert load.cores() == 0


def test_unknown_where_the_system_does_not_tell(tmp_path, monkeypatch):
    monkeypatch.setattr(measuring, "_STAT", tmp_path / "missing")
    assert OtherLoad().cores() is None
