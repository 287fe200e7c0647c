"""What the README tells people to type."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from media import write_clip

from malle_rt.cli import _parser
from malle_rt.live.view.keys import key_help

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGES = [
    README,
    *(
        (ROOT / "docs" / name).read_text()
        for name in ("batch.md", "nvidia.md", "pipes.md", "settings.md", "usage.md", "webcam.md")
    ),
]
BLOCKS = re.findall(r"^```sh\n(.*?)^```", "".join(PAGES), re.MULTILINE | re.DOTALL)
COMMANDS = [line for block in BLOCKS for line in block.splitlines() if line.startswith("malle-rt ")]


@pytest.mark.parametrize("line", COMMANDS)
def test_its_commands_parse(line):
    words = shlex.split(line.split(" | ")[0], comments=True)  # behind it stands another program
    assert _parser().parse_args(words[1:]).run


@pytest.mark.slow
def test_its_main_job_cleans_the_clip_of_the_repository(tmp_path):
    assert "malle-rt transcode docs/noisy.mp4 clean.mp4\n" in README
    command = [
        sys.executable,
        "-m",
        "malle_rt",
        "transcode",
        ROOT / "docs/noisy.mp4",
        "clean.mp4",
        "--compare",
    ]
    done = subprocess.run(
        list(map(str, command)), cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "48 frames in, 48 out" in done.stdout
    assert (tmp_path / "clean.compare.png").stat().st_size > 100_000


def test_its_lines_of_python_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "noisy.mp4", frames=3, codec="libx264")
    (lines,) = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    shown = []
    frames = [np.full((32, 48, 3), level, np.uint8) for level in (90, 100)]
    exec(lines, {"frames": frames, "show": shown.append})
    assert [picture.shape for picture in shown] == [(32, 48, 3)] * 2
    assert (tmp_path / "clean.mp4").stat().st_size


def test_its_files_exist():
    pages = {ROOT: README} | {path: path.read_text() for path in (ROOT / "docs").glob("*.md")}
    for page, text in pages.items():
        folder = ROOT if page == ROOT else page.parent
        for path in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (folder / path).exists(), f"{page}: {path}"


def test_it_is_one_page():
    assert len(README.splitlines()) <= 110


def test_what_contributing_names_is_there():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    paths = re.findall(r"[` ]((?:malle_rt|tests|tools|docs|engines|\.ci)(?:/[\w.-]+)*)(?=[` ])", text)
    named = [path for path in paths if "NAME" not in path and "ROOM" not in path]
    assert len(named) > 20
    assert [path for path in named if not (ROOT / path).exists()] == []
    places = re.findall(r"`(\w+/[\w/]+\.py)`: [^.;\n]*`(_?[A-Za-z_]+)`", text)
    assert len(places) > 5
    for path, name in places:
        assert "NAME" in path or re.search(rf"\b{name}\b", (ROOT / path).read_text()), f"{path} has no {name}"


def test_the_page_on_live_use_names_every_key():
    text = (ROOT / "docs" / "webcam.md").read_text()
    for keys, meaning in key_help():
        assert f"| {keys} | {meaning} |" in text
