"""Training of the stills family: its material, its steps, its checkpoints, its way back, and the program."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from evaluation.models import macs, still_denoiser
from evaluation.stills import load_stills, psnr_of
from train import StillsTask, main
from training import Diverged, Recipe, Run
from trainset import Photographs

from malle_rt.errors import BackendError
from malle_rt.net.mallenet import MalleNetConfig
from malle_rt.net.weights import load_rt, load_stills_net

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

TINY = MalleNetConfig(widths=(8, 8, 8, 8), blocks=2)
CPU = torch.device("cpu")
PROGRAM = Path(__file__).parents[3] / "tools" / "train.py"


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(3):
        coarse = np.random.default_rng(seed).uniform(20, 230, (8, 9, 3)).astype(np.float32)
        picture = cv2.resize(coarse, (90, 80), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{seed}.png"), picture)
    return folder


def made(photos, folder, **recipe):
    recipe = Recipe(**{"steps": 40, "batch": 4, "size": 64, **recipe})
    return Run(StillsTask(TINY, Photographs.load(photos, CPU, recipe.seed), {}), recipe, folder)


def rows(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def never():
    return False


def test_crops_repeat_with_the_seed_and_their_noise_is_as_strong_as_asked_for(photos):
    first, second = (Photographs.load(photos, CPU, seed=3) for _ in range(2))
    pair = first.draw(8, 64, (25.0, 25.0))
    assert pair.noisy.shape == pair.clean.shape == (8, 3, 64, 64)
    assert torch.equal(pair.noisy, second.draw(8, 64, (25.0, 25.0)).noisy)
    assert float((pair.noisy - pair.clean).std()) * 255 == pytest.approx(25, rel=0.02)
    assert 0 <= float(pair.clean.min()) <= float(pair.clean.max()) <= 1 < float(pair.noisy.max())
    levels = (torch.sub(*first.draw(64, 32, (0.0, 55.0))).std((1, 2, 3)) * 255).tolist()
    assert min(levels) < 8 and max(levels) > 47


def test_crops_are_laid_in_eight_ways():
    square = torch.arange(3 * 4 * 4, dtype=torch.uint8).view(1, 3, 4, 4)[0]
    data = Photographs([square], torch.Generator().manual_seed(0), torch.Generator().manual_seed(0))
    laid = {tuple(data.draw(1, 4, (0.0, 0.0)).clean.flatten().tolist()) for _ in range(100)}
    assert len(laid) == 8


def test_material_that_cannot_be_used_is_named(photos, tmp_path):
    with pytest.raises(ValueError, match="no pictures"):
        Photographs.load(tmp_path, CPU, 0)
    with pytest.raises(ValueError, match="90x80 has no crop of 81"):
        Photographs.load(photos, CPU, 0).draw(1, 81, (0.0, 55.0))


def test_it_learns_and_keeps_what_it_learned(photos, tmp_path):
    run = made(photos, tmp_path, steps=80, rate=3e-3)
    pictures = load_stills(photos)
    before = psnr_of(run.average, pictures, 50.0, CPU)
    run.train(never)
    after = psnr_of(run.average, pictures, 50.0, CPU)
    assert after > before + 1
    assert rows(tmp_path)[-1]["step"] == 80
    shipped = load_stills_net(tmp_path / "best.safetensors")
    assert psnr_of(shipped, pictures, 50.0, CPU) == pytest.approx(after, abs=0.02), "float16 costs nothing"


def test_a_resumed_run_goes_on_exactly(photos, tmp_path):
    straight, stopped = (made(photos, tmp_path) for _ in range(2))
    for _ in range(6):
        straight.task.batch(straight)
    for _ in range(3):
        stopped.task.batch(stopped)
    stopped.save()
    resumed = made(photos, tmp_path)
    resumed.resume()
    for _ in range(3):
        resumed.task.batch(resumed)
    assert resumed.step == straight.step == 6
    for net in ("net", "average"):
        wanted = getattr(straight, net).state_dict()
        for name, value in getattr(resumed, net).state_dict().items():
            assert torch.equal(value, wanted[name]), name


def test_a_run_that_breaks_goes_back_and_on_at_half_the_rate(photos, tmp_path):
    run = made(photos, tmp_path, steps=60)
    run.task.batch(run)
    run.save()
    usual = run.rate
    with torch.no_grad():
        next(run.net.parameters()).fill_(torch.nan)
    run.train(never)
    broken, last = rows(tmp_path)[0], rows(tmp_path)[-1]
    assert broken["diverged_at"] == 20 and broken["back_to"] == 1 and broken["halvings"] == 1
    assert last["step"] == 60
    assert all(value.isfinite().all() for value in run.net.parameters())
    again = made(photos, tmp_path, steps=60)
    again.resume()
    assert again.halvings == 1 and again.rate < usual


def test_a_run_that_always_breaks_is_given_up(photos, tmp_path):
    run = made(photos, tmp_path, rate=1e9, batch=1)
    with pytest.raises(Diverged, match="lower --rate"):
        run.train(never)
    assert rows(tmp_path)[-1]["halvings"] == 7


def test_the_program_stops_when_asked_and_goes_on(photos, tmp_path, monkeypatch, capsys):
    shared = [
        "--preset",
        "mallenet-s",
        "--stills",
        str(photos),
        "--out",
        str(tmp_path),
        "--batch",
        "1",
        "--size",
        "64",
    ]
    shared += ["--no-compiled-slice"]
    command = [sys.executable, str(PROGRAM), *shared, "--budget", "10", "--threads", "1"]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 60
    while not (tmp_path / "last.pt").exists() and child.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    child.send_signal(signal.SIGTERM)
    _, errors = child.communicate(timeout=30)
    assert child.returncode == 128 + signal.SIGTERM, errors
    done = torch.load(tmp_path / "last.pt", weights_only=True)["step"]

    monkeypatch.setattr("sys.argv", ["train.py", *shared, "--steps", str(done + 2)])
    assert main() == 2
    assert "pass --resume" in capsys.readouterr().err
    words = ["--resume", "--validate", str(photos), "--limit", "1"]
    monkeypatch.setattr("sys.argv", ["train.py", *shared, "--steps", str(done + 2), *words])
    assert main() == 0
    assert rows(tmp_path)[-1]["step"] == done + 2
    assert [row["step"] for row in rows(tmp_path) if "slice in torch" in row.get("computes", "")] == [0, done]
    assert set(rows(tmp_path)[-1]["psnr"]) == {"15", "25", "50"}


def test_evaluation_takes_trained_weights_by_their_path(photos, tmp_path):
    run = made(photos, tmp_path)
    run.check()
    path = tmp_path / "best.safetensors"
    denoise = still_denoiser(str(path), tmp_path)
    noisy = torch.rand(1, 3, 33, 47)
    with torch.inference_mode():
        torch.testing.assert_close(denoise(noisy, 25.0), run.average(noisy), atol=2e-3, rtol=0)
    assert 0 < macs(str(path), tmp_path) < 5
    with pytest.raises(BackendError, match="does not hold MalleNet-RT weights"):
        load_rt(path)
