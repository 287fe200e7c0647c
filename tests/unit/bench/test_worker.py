import pytest

from malle_rt.bench import worker
from malle_rt.bench.worker import launch


@pytest.mark.slow
def test_a_worker_reports_what_it_was_ordered():
    report = launch({"kind": "limits", "models": [], "sizes": []})
    assert report["work"] == []
    assert report["rates"]["copy_gb_per_s"] > 0


def test_a_worker_that_raises_gives_its_last_words():
    assert launch({"kind": "nonsense"}) == {"failed": "the process ended with code 1: KeyError: 'nonsense'"}


def test_a_worker_that_does_not_start_is_a_reason(monkeypatch):
    monkeypatch.setattr("sys.executable", "/bin/false")
    assert launch({"kind": "limits"})["failed"] == "the process ended with code 1: it said nothing"


def test_a_worker_without_end_is_ended(monkeypatch):
    monkeypatch.setattr(worker, "_LIMIT", 0.1)
    report = launch({"kind": "limits", "models": ["rt-s"], "sizes": [(640, 360)]})
    assert "took longer than 0.1 s" in report["failed"]
