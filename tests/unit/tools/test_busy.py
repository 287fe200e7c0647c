"""Frames timed beside busy neighbours."""

import subprocess

from yardstick import speed
from yardstick.raw import RawVideo
from yardstick.speed import measure_busy


class Steady:
    name = "steady"

    def frame_seconds(self, noisy, setting):
        return [1.0] * (speed.UNSTEADY - 1) + [0.010] * 18 + [0.020] * 2


def test_each_number_of_neighbours_has_a_median_and_a_p95(tmp_path):
    video = RawVideo(tmp_path / "none.yuv", (16, 16), 25)
    found = measure_busy({Steady(): (), object(): ()}, video, [0, 1], rounds=2)
    assert list(found) == ["steady"], "what cannot tell is left out"
    assert [times.neighbours for times in found["steady"]] == [0, 1]
    assert all(times.median_ms == 10 and 10 < times.p95_ms <= 20 for times in found["steady"])
    assert found["steady"][0].frames == 20


def test_neighbours_end_when_they_are_no_longer_wanted(monkeypatch):
    started = []
    real = subprocess.Popen
    monkeypatch.setattr(
        speed.subprocess, "Popen", lambda *a, **k: started.append(real(*a, **k)) or started[-1]
    )
    with speed.spinning(2):
        assert [process.poll() for process in started] == [None, None]
    assert all(process.poll() is not None for process in started)
