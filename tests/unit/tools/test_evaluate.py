"""The evaluation: figures that are known beforehand, networks with known answers, and the command line."""

import json
import wave

import cv2
import numpy as np
import pytest
import torch
from evaluate import frontier, main, plot
from evaluation.models import macs
from evaluation.peernets import DnCNN, FFDNet, load_dncnn, load_ffdnet
from evaluation.stills import load_stills, measure, noisy_still
from evaluation.video import cut_ghost, flicker_ratio, still_gain
from evaluation.video import measure as measure_video
from PIL import Image, features
from yardstick.clips import NoisyClip, add_noise, to_yuv420p

from malle_rt.errors import BackendError, ConfigError, SourceError


def picture(seed=0, size=(48, 64)):
    coarse = np.random.default_rng(seed).uniform(40, 210, (6, 8, 3)).astype(np.float32)
    return cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)


def clip(frames=16, sigma=20.0):
    clean = np.repeat(picture()[None], frames, 0)
    return NoisyClip("still", to_yuv420p(clean), to_yuv420p(add_noise(clean, sigma, 0)))


def unchanged(noisy, _sigma):
    return noisy


def averaged(noisy, _sigma):
    """The mean of all frames so far: what a still scene calls for, and a ghost after a cut."""
    sums = np.cumsum(noisy.astype(np.float64), axis=0)
    return (sums / np.arange(1, len(noisy) + 1)[:, None, None]).round().astype(np.uint8)


def test_noise_is_the_same_each_time_and_as_strong_as_asked_for():
    clean = picture(size=(200, 300))
    first, second = noisy_still(clean, 25, 3), noisy_still(clean, 25, 3)
    assert torch.equal(first, second)
    noise = first[0].permute(1, 2, 0).numpy() * 255 - clean
    assert noise.std() == pytest.approx(25, rel=0.01)


def test_an_untouched_still_has_the_psnr_of_its_noise():
    grey = np.full((200, 300, 3), 128, np.uint8)  # far from the ends: nothing is clipped
    figures = measure(lambda noisy, sigma: noisy, {"grey": grey}, 10.0)
    assert figures["psnr"] == pytest.approx(20 * np.log10(255 / 10), abs=0.05)


def test_pictures_are_read_as_rgb(tmp_path):
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 250
    cv2.imwrite(str(tmp_path / "red.png"), red[..., ::-1])
    Image.fromarray(red[:4]).save(tmp_path / "red.webp", lossless=True)
    assert list(load_stills(tmp_path)) == ["red.png", "red.webp"]
    np.testing.assert_array_equal(load_stills(tmp_path)["red.png"], red)
    np.testing.assert_array_equal(load_stills(tmp_path)["red.webp"], red[:4])


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF: pip install 'pillow>=11.3'")
def test_avif_is_read_too(tmp_path):
    drawn = picture(size=(40, 60))
    Image.fromarray(drawn).save(tmp_path / "photo.AVIF", quality=95, subsampling="4:4:4")
    found = load_stills(tmp_path)["photo.AVIF"]
    assert found.shape == drawn.shape
    assert np.abs(found.astype(int) - drawn).mean() < 2, "in quality 95"


def test_folders_and_pictures_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(ConfigError, match="no pictures"):
        load_stills(tmp_path)
    with pytest.raises(ConfigError, match=r"nowhere: not a folder .*No such file"):
        load_stills(tmp_path / "nowhere")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(SourceError, match=r"broken\.png: not a picture"):
        load_stills(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("net", "load", "parameters"),
    [(FFDNet(), load_ffdnet, 852_108), (DnCNN(), load_dncnn, 668_227)],
    ids=["ffdnet", "dncnn"],
)
def test_peers_have_their_published_size_and_take_weights_under_any_names(tmp_path, net, load, parameters):
    assert sum(each.numel() for each in net.parameters()) == parameters
    values = enumerate(net.state_dict().items())
    renamed = {f"model.{index}.{name.split('.')[-1]}": value for index, (name, value) in values}
    torch.save(renamed, tmp_path / "net.pth")
    again = load(tmp_path / "net.pth")
    noisy = torch.rand(1, 3, 17, 23)
    with torch.inference_mode():
        torch.testing.assert_close(again(noisy, 25.0), net(noisy, 25.0))
        assert again(noisy, 25.0).shape == noisy.shape


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save(DnCNN(layers=5).state_dict(), tmp_path / "net.pth")
    with pytest.raises(BackendError, match=r"not the weights of a FFDNet: .* 5 layers .* wanted 12 layers"):
        load_ffdnet(tmp_path / "net.pth")
    torch.save([1, 2], tmp_path / "net.pth")
    with pytest.raises(BackendError, match="not a state dict"):
        load_ffdnet(tmp_path / "net.pth")
    (tmp_path / "net.pth").write_bytes(b"no weights")
    with pytest.raises(BackendError, match="cannot read weights") as caught:
        load_ffdnet(tmp_path / "net.pth")
    assert "\n" not in str(caught.value)


def test_video_figures_of_known_denoisers():
    noisy = clip()
    untouched, steady = (measure_video(each, [noisy]) for each in (unchanged, averaged))
    assert untouched["flicker"] == pytest.approx(1)
    assert steady["flicker"] > 10
    assert steady["psnr_y"] > untouched["psnr_y"] + 6
    assert steady["psnr_yuv"] > untouched["psnr_yuv"]
    perfect = measure_video(lambda *_: noisy.clean, [noisy])
    assert perfect["ssim_y"] == pytest.approx(1)


def test_flicker_needs_something_that_stands_still():
    noisy = clip()
    restless = np.random.default_rng(0).integers(0, 256, noisy.clean.shape, np.uint8)
    assert flicker_ratio(NoisyClip("noise", restless, restless), restless) is None


def test_averaging_gains_on_a_still_picture_and_ghosts_after_a_cut():
    assert still_gain(unchanged, [picture()], 20.0) == pytest.approx(0, abs=0.3)
    assert still_gain(averaged, [picture()], 20.0) > 6
    pair = [(picture(1), picture(2))]
    assert cut_ghost(unchanged, pair, 20.0) == pytest.approx(0, abs=0.05)
    assert cut_ghost(averaged, pair, 20.0) > 3


@pytest.mark.slow
def test_the_command_line_writes_what_it_prints(tmp_path, monkeypatch, capsys):
    frames = tmp_path / "clips" / "drift"
    frames.mkdir(parents=True)
    for index in range(6):
        cv2.imwrite(str(frames / f"{index}.png"), np.roll(picture(size=(96, 128)), index, axis=1))
    target = tmp_path / "scores.json"
    arguments = ["--model", "rt-s", "--clips", str(tmp_path / "clips"), "--sigma", "25", "--frames", "6"]
    monkeypatch.setattr("sys.argv", ["evaluate.py", *arguments, "--json", str(target)])
    assert main() == 0
    (row,) = json.loads(target.read_text())["rows"]
    assert row["model"] == "rt-s" and row["sigma"] == 25 and row["frames"] == 6
    assert row["psnr_y"] > 27, "noisy it has 24"
    assert row["kmac_per_pixel"] == pytest.approx(macs("rt-s", tmp_path), abs=0.05)
    assert f"{row['psnr_y']:.3f}".rstrip("0") in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_photographs_are_timed_too(tmp_path, monkeypatch):
    for index in range(2):
        cv2.imwrite(str(tmp_path / f"{index}.png"), picture(index))
    torch.save(FFDNet().state_dict(), tmp_path / "ffdnet_color.pth")
    target = tmp_path / "scores.json"
    words = ["--model", "ffdnet", "--images", str(tmp_path), "--sigma", "15", "25", "--peers", str(tmp_path)]
    monkeypatch.setattr("sys.argv", ["evaluate.py", *words, "--json", str(target)])
    assert main() == 0
    first, second = json.loads(target.read_text())["rows"]
    assert first["ms_per_picture"] == second["ms_per_picture"] > 0, "it does not depend on the noise"
    assert first["timed_at"] == "64x48" and first["pictures"] == 2
    assert (first["sigma"], second["sigma"]) == (15, 25)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--model", "nope", "--images", "."], 2, "no network 'nope' for photographs; there are: mallenet-s"),
        (["--model", "swinir", "--images", "."], 2, "peer_speed.py times it"),
        (["--model", "rt-s", "--images", "."], 2, "no network 'rt-s' for photographs"),
        (["--model", "nope", "--clips", "nowhere"], 2, "no network 'nope' for clips; there are: rt-"),
        (
            ["--model", "ffdnet", "--images", "."],
            1,
            "needs ffdnet_color.pth, not found in weights: pass --peers",
        ),
        (["--model", "gone.safetensors", "--images", "."], 1, "cannot read weights gone.safetensors"),
        (["--model", "rt-s", "--clips", "nowhere"], 1, "nowhere: not a clip that can be read"),
        (["--model", "rt-s", "--clips", "sound.wav"], 1, "sound.wav: there is no video in it"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, monkeypatch, capsys, words, code, says):
    monkeypatch.chdir(tmp_path)
    with wave.open("sound.wav", "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(1600))
    monkeypatch.setattr("sys.argv", ["evaluate.py", *words, "--peers", "weights"])
    assert main() == code
    said = capsys.readouterr()
    assert said.err.startswith("evaluate.py: ") and says in said.err
    assert said.err.count("\n") == 1 and said.out == ""


def test_what_cannot_be_written_is_found_out_before_the_work(tmp_path, monkeypatch, capsys):
    words = ["--model", "rt-s", "--clips", "nowhere", "--json", str(tmp_path / "no" / "scores.json")]
    monkeypatch.setattr("sys.argv", ["evaluate.py", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "to write scores.json to" in capsys.readouterr().err


def test_the_frontier_is_what_nothing_beats_in_both():
    points = [(100.0, 32.0), (10.0, 31.0), (50.0, 30.5), (10.0, 30.0), (200.0, 32.0), (300.0, 33.0)]
    assert frontier(points) == [(10.0, 31.0), (100.0, 32.0), (300.0, 33.0)]


@pytest.mark.slow
def test_the_plot_is_a_picture(tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: extra 'report'")
    rows = [
        {"model": name, "sigma": sigma, "kmac_per_pixel": cost, "psnr_y": 30 + cost / 50}
        for sigma in (10, 25)
        for name, cost in (("ours", 7.0), ("theirs", 213.0))
    ]
    plot(rows, tmp_path / "plot.png", "a machine")
    picture = cv2.imread(str(tmp_path / "plot.png"))
    assert picture.shape[1] > 2 * picture.shape[0] * 0.8  # two panels
    assert picture.std() > 5
