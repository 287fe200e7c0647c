"""What the README tells people to type."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from malle_rt.cli import _parser
from malle_rt.live.view.key_table import key_help

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGES = [README, *((ROOT / "docs" / name).read_text() for name in ("nvidia.md", "webcam.md"))]
BLOCKS = re.findall(r"^```sh\n(.*?)^```", "".join(PAGES), re.MULTILINE | re.DOTALL)
COMMANDS = [line for block in BLOCKS for line in block.splitlines() if line.startswith("malle-rt ")]


@pytest.mark.parametrize("line", COMMANDS)
def test_its_commands_parse(line):
    words = shlex.split(line, comments=True)
    assert _parser().parse_args(words[1:]).run


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


def test_its_files_exist():
    for path in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / path).exists(), path


def test_the_page_on_live_use_names_every_key():
    text = (ROOT / "docs" / "webcam.md").read_text()
    for keys, meaning in key_help():
        assert f"| {keys} | {meaning} |" in text
