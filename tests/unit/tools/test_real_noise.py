import json

import cv2
import numpy as np
import pytest
import real_noise
from real_noise import main, still_video


def camera_picture(size=(192, 252)):
    """A scene, and the same with noise that a camera has smoothed."""
    random = np.random.default_rng(0)
    patches = random.uniform(60, 190, (size[0] // 12, size[1] // 12, 3)).repeat(12, 0).repeat(12, 1)
    noise = cv2.GaussianBlur(random.normal(0, 25, patches.shape), (0, 0), 1.0)
    return tuple(each.clip(0, 255).round().astype(np.uint8) for each in (patches, patches + noise))


def test_a_still_video_ends_with_the_exposure_itself_and_no_two_frames_are_alike():
    mean, real = camera_picture()
    clean, noisy = still_video(mean, real, 0)
    _, again = still_video(mean, real, 0)
    np.testing.assert_array_equal(noisy, again)
    assert (len(clean), len(noisy)) == (1, real_noise.FRAMES)
    assert len({frame.tobytes() for frame in noisy}) == len(noisy)


@pytest.mark.slow
def test_pairs_are_measured_and_drawn(tmp_path, monkeypatch, capsys):
    for kind, picture in zip(("mean", "real"), camera_picture(), strict=True):
        cv2.imwrite(str(tmp_path / f"a_{kind}.png"), picture[..., ::-1])
    monkeypatch.setattr(real_noise, "SIGMAS", (4.0, 10.0))
    out = tmp_path / "out"
    monkeypatch.setattr(
        "sys.argv", ["x", "--pairs", str(tmp_path), "--out", str(out), "--json", str(tmp_path / "r.json")]
    )
    assert main() == 0
    (row,) = json.loads((tmp_path / "r.json").read_text())["rows"]
    assert row["white"] < 0.5 * row["auto"], "one picture alone cannot tell it"
    assert row["auto_dB"] > row["white_dB"] + 1 > row["noisy_dB"]
    assert row["auto_dB"] > row["best_dB"] - 1.5
    assert cv2.imread(str(out / "a.png")) is not None
    assert "mean" in capsys.readouterr().out


def test_photographs_are_drawn_at_every_strength(tmp_path, monkeypatch):
    cv2.imwrite(str(tmp_path / "a.png"), camera_picture()[1])
    words = ["x", "--photographs", str(tmp_path), "--strength", "5", "15", "--out", str(tmp_path / "out")]
    monkeypatch.setattr("sys.argv", words)
    assert main() == 0
    assert cv2.imread(str(tmp_path / "out" / "a.png")).std() > 1


def test_a_folder_without_pictures_is_said_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["x", "--pairs", str(tmp_path)])
    assert main() == 2
    assert "no pictures" in capsys.readouterr().err
