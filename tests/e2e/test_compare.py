"""The comparison with peers, on a clip of a few frames."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from media import write_clip

COMPARE = Path(__file__).parents[2] / "tools" / "compare.py"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="the ffmpeg program is not installed"),
]


def compare(*arguments):
    command = [sys.executable, str(COMPARE), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_compares_quality_and_speed_in_one_run(tmp_path):
    clip = write_clip(tmp_path / "clip.nut", frames=6, size=(96, 64))
    result = tmp_path / "result.json"
    done = compare(
        *("--clips", clip, "--sigma", 20, "--peers", "nlmeans", "--tune-frames", 2, "--rounds", 1),
        *("--seconds", 0.1, "--longest", 8, "--json", result, "--picture", tmp_path / "pictures"),
    )
    assert done.returncode == 0, done.stderr
    assert "ours +dB" in done.stdout and "stages at once" in done.stdout
    found = json.loads(result.read_text())
    scores = {score["tool"]: score for score in found["scores"]["20"]}
    assert list(scores) == ["noisy", "malle-rt auto", "malle-rt tuned", "nlmeans"]
    assert all(len(score["clips"]["clip"]["psnr"]) == 6 for score in scores.values())
    assert scores["nlmeans"]["psnr_y"] > scores["noisy"]["psnr_y"]
    assert set(found["speed"]) == {"malle-rt auto", "malle-rt tuned", "malle-rt none", "nlmeans"}
    assert found["speed"]["nlmeans"]["transcode"]["fps"]["median"] > 0
    assert cv2.imread(str(tmp_path / "pictures" / "clip-20.png")) is not None


def test_noisy_clips_can_go_through_an_encoder_first(tmp_path):
    clip = write_clip(tmp_path / "clip.nut", frames=4, size=(96, 64))
    heard = {}
    for crf in ([], ["--crf", 40]):
        result = tmp_path / "result.json"
        few = ("--sigma", 20, "--peers", "", "--strength", 10, "--tune-frames", 2, "--rounds", 0)
        done = compare("--clips", clip, *few, *crf, "--json", result)
        assert done.returncode == 0, done.stderr
        found = json.loads(result.read_text())
        heard[found["clips"][0]] = found["scores"]["20"][0]["psnr_y"]
    name, after = heard
    assert name in ("clip 96x64 moving, 4", "clip 96x64 still, 4") and after == f"{name}, x264 at CRF 40"
    plain, encoded = heard.values()
    assert abs(plain - encoded) > 0.5


def test_an_unknown_peer_is_refused(tmp_path):
    done = compare("--clips", tmp_path, "--peers", "neatvideo")
    assert done.returncode == 2
    assert "unknown peer neatvideo" in done.stderr
