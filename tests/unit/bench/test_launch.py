import pytest

from malle_rt.bench import launch as room
from malle_rt.bench.launch import launch


@pytest.mark.slow
def test_a_worker_reports_what_it_was_ordered(tmp_path):
    report = launch({"kind": "limits", "models": [], "sizes": []}, tmp_path)
    assert report["work"] == []
    assert report["rates"]["copy_gb_per_s"] > 0


def test_a_worker_that_raises_gives_its_last_words(tmp_path):
    assert launch({"kind": "nonsense"}, tmp_path) == {
        "failed": "the process ended with code 1: KeyError: 'nonsense'"
    }


def test_an_old_report_is_not_taken_for_a_new_one(tmp_path, monkeypatch):
    (tmp_path / "result.json").write_text('{"gain_db": 9}')
    monkeypatch.setattr("sys.executable", "/bin/false")
    assert launch({"kind": "limits"}, tmp_path)["failed"] == "the process ended with code 1: it said nothing"


def test_a_worker_without_end_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "_LIMIT", 0.1)
    report = launch({"kind": "limits", "models": ["rt-s"], "sizes": [(640, 360)]}, tmp_path)
    assert "took longer than 0.1 s" in report["failed"]
