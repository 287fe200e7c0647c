"""Training as it is run: the program, on clips and pictures made here."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from media import write_clip
from PIL import Image
from trainset import TrainSet
from video_task import SECOND, VideoTask

from malle_rt.models import model_file
from malle_rt.net.weights import load_rt, load_rt2

pytestmark = pytest.mark.slow  # trains

TRAIN = Path(__file__).parents[3] / "tools" / "train.py"


@pytest.fixture
def material(tmp_path):
    (tmp_path / "clips").mkdir()
    (tmp_path / "stills").mkdir()
    write_clip(tmp_path / "clips" / "a.nut", frames=5, size=(64, 48))
    picture = np.random.default_rng(0).integers(0, 255, (80, 96, 3), np.uint8)
    Image.fromarray(picture).save(tmp_path / "stills" / "a.png")
    return tmp_path


def train(folder, *words):
    command = [
        sys.executable, TRAIN, "--clips", folder / "clips", "--stills", folder / "stills",
        "--cache", folder / "cache.pt", "--out", folder / "run", "--validate", folder / "clips" / "a.nut",
        "--size", "32", "--frames", "4", "--chunk", "2", "--batch", "2", "--threads", "1", "--float32", *words,
    ]  # fmt: skip
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in (folder / "run" / "log.jsonl").read_text().splitlines()]


def test_trains_checks_stops_and_resumes(material):
    begun, *_, first = train(material, "--budget", "0.05", "--no-compiled-slice")
    assert begun == {"step": 0, "computes": "CPU, 1 thread, float32, slice in torch"}
    assert first["step"] > 1
    assert all(len(first[kind]["a"]) == 3 for kind in ("10", "50", "film", "phone"))
    saved = torch.load(material / "run" / "last.pt", weights_only=True)
    assert saved["step"] == first["step"]
    assert {"net", "average", "optimizer", "generator", "step", "spent"} <= saved.keys()
    for name in ("best", "average"):
        load_rt2(material / "run" / f"{name}.safetensors")
    second = train(material, "--budget", "0.1", "--resume", "--no-compiled-slice")[-1]
    assert second["step"] > first["step"]
    assert second["minutes"] >= first["minutes"]


def test_a_signal_ends_it_between_two_batches_with_a_whole_state(material):
    command = [
        sys.executable, TRAIN, "--clips", material / "clips", "--stills", material / "stills",
        "--cache", material / "cache.pt", "--out", material / "run", "--budget", "60",
        "--size", "32", "--frames", "4", "--chunk", "2", "--batch", "2", "--threads", "1", "--float32",
        "--no-compiled-slice",
    ]  # fmt: skip
    child = subprocess.Popen([*map(str, command)], stderr=subprocess.PIPE, text=True)
    try:
        end = time.monotonic() + 60
        while not (material / "run" / "log.jsonl").exists() and time.monotonic() < end:
            time.sleep(0.1)
        time.sleep(1)
        child.send_signal(signal.SIGTERM)
        _, errors = child.communicate(timeout=60)
    finally:
        child.kill()
    assert child.returncode == 128 + signal.SIGTERM, errors
    saved = torch.load(material / "run" / "last.pt", weights_only=True)
    steps = {int(each["step"]) for each in saved["optimizer"]["state"].values()}
    assert steps <= {saved["step"]} and saved["step"] % 2 == 0  # both chunks of the batch, all parameters


@pytest.mark.usefixtures("slice_library")
def test_the_slice_is_compiled_where_it_can_be(material):
    begun, *_, last = train(material, "--budget", "0.02")
    assert begun["computes"] == "CPU, 1 thread, float32, compiled slice"
    assert last["step"] > 0


def test_a_finished_run_resumed_does_nothing_more(material):
    train(material, "--budget", "0.02", "--no-compiled-slice")
    before = (material / "run" / "last.pt").read_bytes()
    train(material, "--budget", "0.02", "--resume", "--no-compiled-slice")
    assert (material / "run" / "last.pt").read_bytes() == before


def test_a_network_can_begin_where_a_smaller_one_has_come_to(material):
    words = ("--preset", "rt-m", "--generation", "1", "--steps", "2", "--rate", "1e-6", "--no-compiled-slice")
    grown = train(material, *words, "--grow-from", model_file("rt-s", ".safetensors"))[-1]
    noisy, denoised, _ = grown["25"]["a"]
    assert denoised > noisy + 3
    load_rt(material / "run" / "average.safetensors")


def test_a_run_goes_on_from_weights_and_from_a_checkpoint_of_earlier_versions(material):
    train(material, "--steps", "2", "--no-compiled-slice")
    path = material / "run" / "last.pt"
    saved = torch.load(path, weights_only=True)
    torch.save({name: saved[name] for name in saved.keys() - {"best", "lowest", "halvings"}}, path)
    assert train(material, "--steps", "4", "--resume", "--no-compiled-slice")[-1]["step"] == 4
    (material / "run" / "average.safetensors").rename(material / "weights.safetensors")
    path.unlink()
    words = ("--steps", "2", "--start-from", material / "weights.safetensors", "--no-compiled-slice")
    assert train(material, *words)[-1]["step"] == 2


def test_options_that_a_task_does_not_have_are_refused():
    for words, reason in (
        (["--preset", "mallenet-s", "--clips", "x"], "for stills"),
        (["--preset", "rt-s"], "needs --clips"),
        (["--preset", "rt-l", "--clips", "x"], "generation 2 has no rt-l"),
    ):
        command = [sys.executable, TRAIN, "--stills", "x", "--out", "x", "--budget", "1", *words]
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 2
        assert reason in done.stderr


def test_batches_of_other_processes_teach_the_same(material):
    """To the last bit: a batch is decided by the seed and its number, whoever makes it."""
    weights = []
    for name, words in (("inline", ()), ("workers", ("--workers", "1"))):
        row = train(material, "--steps", "4", "--no-compiled-slice", *words)[-1]
        assert row["step"] == 4 and row["steps_per_second"] > 0
        (material / "run").rename(material / name)
        saved = torch.load(material / name / "last.pt", weights_only=True)
        weights.append(saved["net"])
        assert saved["generator"].tolist() == [2]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_the_material_goes_on_after_a_checkpoint_of_any_version(material):
    task = VideoTask(SECOND, lambda: None, TrainSet([], [], torch.Generator()), {})
    task.restore(torch.tensor([7]))
    assert task.state().tolist() == [7]
    older = torch.Generator().get_state()
    task.restore(older)
    number = task.state().item()
    task.restore(older)
    assert task.state().item() == number > 7
