"""The commands of docs/howto.md are run as they stand there, on small files of the names that they use."""

import re
import shlex
import socket
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
from media import write_clip

from malle_rt.cli import _parser

PAGE = (Path(__file__).parents[2] / "docs/howto.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
LINES = [line for block in BLOCKS for line in block.splitlines()]
OURS = [line for line in LINES if line.startswith("malle-rt ")]
RUN = [line for line in dict.fromkeys(OURS) if "# needs a" not in line]
# What a test machine has in place of a camera and of somebody who ends the session.
ENVIRONMENT = {
    "MALLE_RT_WEBCAM_DEVICE": "lavfi:testsrc2=size=64x48:rate=25",
    "MALLE_RT_WEBCAM_NO_WINDOW": "yes",
    "MALLE_RT_WEBCAM_DURATION": "3",
    "MALLE_RT_CONFIG": "",
}


def test_every_line_is_run_or_says_what_it_needs():
    assert len(RUN) >= 9
    assert all("# needs a" in line for line in LINES if line and line not in RUN)
    for line in OURS:
        assert _parser().parse_args(shlex.split(line, comments=True)[1:]).run


@pytest.mark.parametrize("line", RUN)
def test_a_line_runs_as_it_stands(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    if line.rstrip() == "malle-rt webcam":  # shows a window, which the others leave out
        monkeypatch.setenv("MALLE_RT_WEBCAM_RECORD", "window.mkv")
    reader = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)  # what OBS would be
    reader.bind(("127.0.0.1", 0))
    line = line.replace(":8077", ":0").replace(":9000", f":{reader.getsockname()[1]}")  # any free ports
    write_clip(Path("phone.mp4"), frames=6, codec="libx264")
    write_clip(
        Path("tape.mkv"), frames=6, fps=Fraction(25), codec="mpeg2video", options={"flags": "+ildct+ilme"}
    )
    Path("holiday/day").mkdir(parents=True)
    write_clip(Path("holiday/day/sea.mp4"), frames=4, codec="libx264")
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    with reader:
        done = subprocess.run(
            [sys.executable, "-m", "malle_rt", *shlex.split(line)[1:]],
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    made = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    made -= {path.relative_to(tmp_path).as_posix() for path in before}
    wanted = {"clean.mp4", "tape.clean.mkv", "looks.png", "hall.mkv"} & set(shlex.split(line))
    assert wanted <= made
    assert "holiday/" not in line or "clean/day/sea.clean.mp4" in made


def test_the_script_for_vapoursynth_runs():
    vs = pytest.importorskip("vapoursynth")
    (script,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    blank = "vs.core.std.BlankClip(width=64, height=48, format=vs.YUV420P8, length=3)"
    exec(script.replace('vs.core.bs.VideoSource("noisy.mkv")', blank), {})
    assert [frame.width for frame in vs.get_output(0).clip.frames()] == [64] * 3
