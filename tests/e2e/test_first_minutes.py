"""``analyze``, ``demo`` and ``completion``, as somebody who has just installed it runs them."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from media import write_planes

from malle_rt.media.synthetic import SyntheticSource

pytestmark = pytest.mark.slow  # each starts the program

MALLE = [sys.executable, "-m", "malle_rt"]


def malle(*words, code=0, **environment):
    done = subprocess.run(
        [*MALLE, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | environment,
    )
    assert done.returncode == code, done.stderr
    return done


def clip(path, *, sigma=15, frames=24, fields=None):
    """Two shots: the second is the negative of the first."""
    pictures = [frame.planes for frame in SyntheticSource(frames, (128, 96), noise_sigma=sigma)]
    half = frames // 2
    pictures[half:] = [(255 - luma // 2, *chroma) for luma, *chroma in pictures[half:]]
    return write_planes(
        path,
        pictures,
        "yuv420p",
        codec="libx264",
        options={"crf": "8", "flags": "+ildct+ilme"} if fields else {"crf": "8"},
        fields=[fields] * frames if fields else None,
    )


def test_analyze_tells_noise_cuts_fields_and_what_will_be_done(tmp_path):
    source = clip(tmp_path / "noisy.mp4")
    found = json.loads(malle("analyze", source, "--json").stdout)
    assert found["video"]["width"] == 128
    assert (found["whole"], found["frames_looked_at"], found["cuts"]) == (True, 24, 1)
    first, second = (shot["sigma"] for shot in found["noise"]["shots"])
    assert 9 < first < 18
    assert second < first
    assert found["interlaced"]["share"] == 0
    plan = found["plan"]
    assert plan["backend"].startswith("openvino rt-s")
    assert plan["fps"] > 0
    assert plan["seconds"] > 0
    assert plan["output_bytes"] > 1000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["noisy.mp4"], "nothing is kept"
    told = malle("analyze", source, "--strength", "12", "--preset", "fast").stdout
    assert "strong: sigma" in told or "medium: sigma" in told
    assert "strength   12: 12.0" in told
    assert "cuts       1" in told


def test_analyze_advises_where_pictures_are_interlaced(tmp_path):
    source = clip(tmp_path / "tape.mp4", fields="top")
    told = malle("analyze", source).stdout
    assert "interlaced, top field first: each field denoised by itself" in told
    assert "-> --deinterlace makes it progressive" in told
    told = malle("analyze", source, "--preset-for", "tape").stdout
    assert "made progressive, one frame of each field" in told
    assert "->" not in told


@pytest.mark.parametrize("source", ["-", "rtsp://10.0.0.1/x", "none.mp4"])
def test_analyze_refuses_what_it_cannot_read_twice(source):
    done = malle("analyze", source, code=1 if source == "none.mp4" else 2)
    assert done.stderr.startswith("malle-rt: error: ")
    assert done.stderr.count("\n") == 1


def test_a_long_video_is_looked_at_at_several_places(tmp_path):
    source = clip(tmp_path / "long.mp4", frames=240)
    found = json.loads(malle("analyze", source, "--json", "--backend", "none").stdout)
    assert (found["whole"], found["frames_looked_at"]) == (False, 192)
    assert len(found["noise"]["shots"]) >= 8
    assert found["noise"]["shots"][4]["seconds"] == pytest.approx(4, abs=0.1)
    whole = json.loads(malle("analyze", source, "--json", "--backend", "none", "--whole").stdout)
    assert (whole["whole"], whole["frames_looked_at"], whole["cuts"]) == (True, 240, 1)


def test_the_demo_writes_a_picture_where_there_is_no_display(tmp_path):
    environment = {"DISPLAY": "", "WAYLAND_DISPLAY": ""}
    picture = tmp_path / "demo.png"
    done = malle("demo", picture, **environment)
    assert f"wrote {picture}" in done.stdout
    assert picture.stat().st_size > 100_000
    assert "exists" in malle("demo", picture, code=1, **environment).stderr


def completed(tmp_path, shell, words):
    """What a shell makes of a command line that is being typed."""
    pytest.importorskip("shtab")
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    script = tmp_path / "completion"
    script.write_text(malle("completion", shell).stdout)
    if shell == "fish":
        command = f"source {script}; complete -C '{' '.join(words)}'"
    else:
        list_ = " ".join(f"'{word}'" for word in words)
        command = (
            f"source {script}; COMP_WORDS=({list_}); COMP_CWORD={len(words) - 1}; COMP_LINE='{' '.join(words)}';"
            "f=$(complete -p malle-rt | sed 's/.*-F \\([^ ]*\\).*/\\1/'); $f malle-rt; "
            "printf '%s\\n' \"${COMPREPLY[@]}\""
        )
    done = subprocess.run(
        [shell, *(["--norc"] if shell == "bash" else ["--no-config"]), "-c", command],
        capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path,
    )  # fmt: skip
    return {line.split("\t")[0] for line in done.stdout.splitlines()}


@pytest.mark.parametrize("shell", ["bash", "fish"])
def test_a_shell_completes_commands_options_and_names(tmp_path, shell):
    assert {"transcode", "analyze", "demo"} <= completed(tmp_path, shell, ["malle-rt", ""])
    assert "--strength" in completed(tmp_path, shell, ["malle-rt", "transcode", "--str"])
    assert {"rt-s", "rt-m"} <= completed(tmp_path, shell, ["malle-rt", "transcode", "--model", "rt-"])
    (tmp_path / "film.mkv").touch()
    assert "film.mkv" in completed(tmp_path, shell, ["malle-rt", "analyze", "fi"])


def test_zsh_takes_its_completion(tmp_path):
    pytest.importorskip("shtab")
    if shutil.which("zsh") is None:
        pytest.skip("no zsh here")
    (tmp_path / "_malle-rt").write_text(malle("completion", "zsh").stdout)
    command = (
        f"fpath=({tmp_path} $fpath); autoload -Uz compinit; compinit -u -d {tmp_path}/dump; "
        "echo $_comps[malle-rt]"
    )
    done = subprocess.run(
        ["zsh", "-f", "-c", command], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.strip() == "_malle-rt"
