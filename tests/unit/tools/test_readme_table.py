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
        readme_table.replaced("nothing here", "table")
