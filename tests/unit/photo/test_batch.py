import threading
import time
from pathlib import Path

import pytest

from malle_rt.memory import Reservations
from malle_rt.photo.batch import PhotoBatch

PAIRS = [(Path(f"{number}.png"), Path(f"{number}.clean.png")) for number in range(6)]


class Told:
    def __init__(self):
        self.shares, self.outcomes = [], {}

    def went_on(self, source, share):
        self.shares.append((source.name, share))

    def ended(self, source, outcome):
        self.outcomes[source.name] = outcome


def test_as_many_as_there_are_denoisers_are_cleaned_at_once_and_a_failure_stops_no_other():
    both = threading.Barrier(2, timeout=20)
    told, used = Told(), set()

    def clean(denoiser, source, target, went_on):
        used.add(denoiser)
        both.wait()  # hangs unless two run at once
        went_on(0.5)
        if source.name == "3.png":
            raise ValueError("broken")
        return target.name

    batch = PhotoBatch(PAIRS, clean, ["first", "second"])
    batch.run(told)
    assert used == {"first", "second"} and batch.done == 5
    assert isinstance(told.outcomes.pop("3.png"), ValueError)
    assert told.outcomes == {a.name: b.name for a, b in PAIRS if a.name != "3.png"}
    assert len(told.shares) == 6


def test_a_stop_ends_the_picture_that_runs_and_begins_no_other():
    told, started = Told(), []

    def clean(denoiser, source, target, went_on):
        started.append(source.name)
        went_on(0.1)
        if source.name == "1.png":
            batch.stop()
            went_on(0.2)
        return target.name

    batch = PhotoBatch(PAIRS, clean, ["only"])
    batch.run(told)
    assert started == ["0.png", "1.png"] and batch.done == 1 and list(told.outcomes) == ["0.png"]


def test_memory_is_waited_for_while_others_hold_it(monkeypatch):
    monkeypatch.setattr("malle_rt.memory.available_memory", lambda: 100)
    memory, order = Reservations(), []
    assert memory.take(60) is None

    def other():
        order.append(memory.take(70))
        memory.give_back()

    thread = threading.Thread(target=other)
    thread.start()
    time.sleep(0.05)
    assert order == []
    memory.give_back()
    thread.join(20)
    assert order == [None]
    assert memory.take(101) == 100, "too much even alone"
    memory.give_back()


@pytest.mark.parametrize("text", ["0", "x", "65", "-1", "1.5"])
def test_a_number_of_jobs_that_cannot_be_is_refused(text, capsys):
    from malle_rt.cli import main

    with pytest.raises(SystemExit):
        main(["photo", "a.png", "--jobs", text])
    assert "expected 1 to 64 pictures at once" in capsys.readouterr().err
