import pytest

from malle_rt.trt.progress import Phases


@pytest.fixture
def told(monkeypatch):
    monkeypatch.setattr(Phases, "SECONDS_BETWEEN", 0)
    found = []
    phases = Phases(lambda share, name: found.append((share, name)))
    return phases, found


def test_inner_phases_move_the_outer_one(told):
    phases, found = told
    phases.start("build", None, 4)
    phases.start("time", "build", 2)
    phases.step("time", 0)
    phases.step("time", 1)
    phases.finish("time")
    phases.step("build", 0)
    phases.step("build", 1)
    assert found == [
        (0, "build"),
        (0, "time"),
        (1 / 8, "time"),
        (1 / 4, "time"),
        (1 / 4, "build"),
        (1 / 2, "build"),
    ]


def test_never_falls_and_never_passes_the_end(told):
    phases, found = told
    phases.start("build", None, 2)
    phases.step("build", 1)
    phases.start("extra", "build", 3)  # a phase of a step that was thought to be over
    phases.step("extra", 2)
    phases.start("lonely", "unknown", 0)
    phases.step("never started", 3)
    assert [share for share, _ in found] == [0, 1, 1, 1, 1]


def test_says_little(monkeypatch):
    found = []
    phases = Phases(lambda *each: found.append(each))
    for step in range(1000):
        phases.start("build", None, 1000)
        phases.step("build", step)
    assert len(found) < 100
