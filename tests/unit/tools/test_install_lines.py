import re
from pathlib import Path

import install_lines
import pytest

ROOT = Path(__file__).parents[3]
SOURCES = [*(ROOT / "malle_rt").rglob("*.py"), *(ROOT / "docs").glob("*.md"), ROOT / "README.md"]


def test_lines_are_found_in_blocks_tables_and_sentences():
    text = "# Here\n`pip install 'a[b]' -U 'c<2'`, or pipx install d && e\n\n"
    text += "# A Jetson\n| x | 3.12 | `pip install f` |\npython -m venv v && v/bin/pip install g\n"
    text += "# There\nuv tool install h"
    assert list(install_lines.lines(text, "x.md")) == [
        install_lines.Line("x.md:2", ("a[b]", "c<2")),
        install_lines.Line("x.md:2", ("d",)),
        install_lines.Line("x.md:5", ("f",), "3.12"),
        install_lines.Line("x.md:6", ("g",), "3.10"),
        install_lines.Line("x.md:8", ("h",)),
    ]


def test_the_main_and_the_test_command_are_among_the_documented_lines():
    words = [line.words for line in install_lines.documented()]
    assert (".",) in words
    assert (".[dev]",) in words


def test_an_extra_is_what_setup_cfg_says():
    plain, web = install_lines.required("."), install_lines.required("malle-rt[web]")
    assert any(each.startswith("openvino==") for each in plain)
    assert [each for each in web if each not in plain] == ["aiohttp>=3.9,<4", "segno>=1.5"]
    (rtx,) = (each for each in install_lines.required(".[dev]") if each.startswith("tensorrt-rtx"))
    assert 'sys_platform == "linux"' in rtx
    assert install_lines.required("numpy<3") == ["numpy<3"]
    with pytest.raises(ValueError, match="no extra 'wep'"):
        install_lines.required("malle-rt[wep]")


def test_every_extra_that_people_are_told_to_install_is_there():
    for path in SOURCES:
        for extras in re.findall(r"(?:malle-rt|install '\.)\[([\w,-]+)\]", path.read_text()):
            install_lines.required(f"malle-rt[{extras}]")


def test_nobody_is_told_to_install_malle_rt_from_an_index():
    """Where it is installed, pip takes its extras from there; again it can only come from where it came from."""
    again = re.compile(r"install [^`\n]*--(force-reinstall|upgrade)[^`\n]*malle-rt(?![\w[])")
    assert [path for path in SOURCES if again.search(path.read_text())] == []
