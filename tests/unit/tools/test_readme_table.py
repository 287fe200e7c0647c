import json

import pytest
import readme_table
from helpers.bench import result, row


def test_every_proven_row_is_in_the_table_with_its_gain_beside_its_speed():
    text = readme_table.table(result(row(), row(size="360p", ok=False, problem="the picture is blank")))
    assert "| `openvino rt-s fp32` | 720p | +9.0 dB | 50 fps ±4% |" in text
    assert "360p" not in text
    assert "median of 3 repeats" in text


def test_only_what_stands_between_the_markers_changes(tmp_path, monkeypatch):
    readme, figures = tmp_path / "README.md", tmp_path / "bench.json"
    readme.write_text("before\n<!-- bench -->\nold\n<!-- /bench -->\nafter\n")
    figures.write_text(result(row()).to_json())
    words = ["readme_table.py", str(figures), "--readme", str(readme)]
    monkeypatch.setattr(readme_table.sys, "argv", [*words, "--check"])
    assert readme_table.main() == 1
    monkeypatch.setattr(readme_table.sys, "argv", words)
    assert readme_table.main() == 0
    text = readme.read_text()
    assert text.startswith("before\n<!-- bench -->\n| ") and text.endswith("\n<!-- /bench -->\nafter\n")
    assert "old" not in text
    monkeypatch.setattr(readme_table.sys, "argv", [*words, "--check"])
    assert readme_table.main() == 0


def test_a_file_without_markers_is_refused():
    with pytest.raises(SystemExit, match="<!-- bench -->"):
        readme_table.replaced("nothing here", "bench", "table")


def compared():
    """What compare.py writes, of two clips; the other tool was given fewer frames."""
    psnr = {"noisy": [20.0] * 4, "malle-rt auto": [30.0, 32.0, 34.0, 36.0], "nlmeans": [29.0, 31.0]}
    scores = [
        {
            "tool": tool,
            "label": "",
            "setting": [],
            "clips": {c: {"psnr": p, "ssim": [0.9] * len(p)} for c in "ab"},
        }
        for tool, p in psnr.items()
    ]
    fps = {"malle-rt auto": (90.0, 45.0), "nlmeans": (9.0, 90.0), "malle-rt none": (1e6, 60.0)}
    speed = {
        tool: {
            kind: {"fps": {"median": value, "low": value, "high": value}, "peak_mib": 100.0}
            for kind, value in zip(("denoise", "transcode"), values, strict=True)
        }
        for tool, values in fps.items()
    }
    machine = {
        "cpu": "A",
        "threads": "2",
        "malle-rt": "1",
        "openvino": "2",
        "ffmpeg": "5-x",
        "opencv-python": "4",
    }
    return {"scores": {"25": scores}, "speed": speed, "machine": [machine, machine], "other_cores": 0.0}


def test_others_are_compared_on_the_frames_that_they_were_given(tmp_path):
    (tmp_path / "measured.json").write_text(json.dumps(compared()))
    name, text = readme_table.block(tmp_path / "measured.json")
    assert name == "compare"
    assert "| noisy | 20.00 dB (+13.00) | 0.900 | 8 |  |  |" in text
    assert "| **33.00 dB** | 0.900 | 8 | 90 fps | 45 fps |" in text
    assert "| 30.00 dB (+1.00) | 0.900 | 4 | 9 fps (10x) | 90 fps (0.5x) |" in text
    assert "malle-rt does 60 fps, so the network is 25% of it" in text


def test_the_readme_has_the_tables_of_the_measurements_beside_it(monkeypatch):
    docs = readme_table.ROOT / "docs"
    words = ["readme_table.py", str(docs / "bench.json"), str(docs / "measured.json"), "--check"]
    monkeypatch.setattr(readme_table.sys, "argv", words)
    assert readme_table.main() == 0
