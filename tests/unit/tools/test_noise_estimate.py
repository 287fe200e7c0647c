"""The measurement of the noise estimate: the truth it compares with, and the command line."""

import json

import cv2
import numpy as np
import pytest
from noise_estimate import Sample, figures, main, measured


def picture(size=(96, 128)):
    coarse = np.random.default_rng(0).uniform(90, 160, (6, 8, 3)).astype(np.float32)
    return cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)


def run(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["noise_estimate.py", *map(str, arguments)])
    return main()


def test_the_truth_is_what_rgb_noise_comes_to_in_luma_and_clipping_does_not_lower_it():
    middle = np.full((1, 128, 128, 3), 128, np.uint8)
    half_black = middle.copy()
    half_black[:, 64:] = 0
    share = float(np.linalg.norm([0.2126, 0.7152, 0.0722])) * 219 / 255
    for clean in (middle, half_black):
        row = measured(Sample("x", [clean]), 20.0, seed=0)
        assert row["true"] == pytest.approx(20 * share, rel=0.03)
        assert abs(row["error_pct"]) < 8


def test_pictures_without_a_single_unclipped_pixel_have_no_truth():
    with pytest.raises(ValueError, match="x: every pixel is clipped at sigma 20"):
        measured(Sample("x", [np.zeros((1, 16, 16, 3), np.uint8)]), 20.0, seed=0)


def test_pictures_that_tell_nothing_are_counted():
    black, gray = np.full((32, 32), 16, np.uint8), np.full((32, 32), 128, np.uint8)
    row = figures(4.0, [black, gray, gray])
    assert (row["pictures"], row["untold"]) == (3, 1)
    assert (row["estimate"], row["error_pct"]) == (0, -100)
    assert "estimate" not in figures(4.0, [black])


def test_clips_stills_and_pairs_are_measured_and_written(tmp_path, monkeypatch, capsys):
    clip, stills = tmp_path / "drift", tmp_path / "stills"
    for folder, count in ((clip, 3), (stills, 4)):
        folder.mkdir()
        for index in range(count):
            cv2.imwrite(str(folder / f"{index}.png"), np.roll(picture(), index, axis=1))
    noise = np.random.default_rng(1).normal(0, 8, picture().shape)
    cv2.imwrite(str(tmp_path / "real.png"), np.rint(picture() + noise).clip(0, 255).astype(np.uint8))
    target = tmp_path / "scores.json"
    samples = ["--clips", clip, "--stills", stills, "--pair", tmp_path / "real.png", stills / "0.png"]
    assert run(monkeypatch, *samples, "--sigma", 10, "--limit", 2, "--json", target) == 0
    rows = json.loads(target.read_text())["rows"]
    told = [(row["sample"], row["sigma"], row["pictures"]) for row in rows]
    assert told == [("drift", 0, 3), ("drift", 10, 3), ("stills", 0, 2), ("stills", 10, 2), ("real", None, 1)]
    for row in rows:
        assert row["estimate"] == pytest.approx(row["true"], rel=0.15, abs=0.5)
        assert row["ms"] > 0
    assert f"{rows[1]['estimate']:.3f}".rstrip("0") in capsys.readouterr().out


def test_nothing_to_measure_is_an_error(monkeypatch, capsys):
    with pytest.raises(SystemExit, match="2"):
        run(monkeypatch, "--sigma", 10)
    assert "give --clips, --stills or --pair" in capsys.readouterr().err
