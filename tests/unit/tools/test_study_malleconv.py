"""The study of one MalleConv: its networks, what its figures add up to, and the program."""

import json
from dataclasses import asdict, replace

import cv2
import numpy as np
import pytest
import torch
from studies.backbones import Backbone, BackboneConfig, MalleLayer, cells
from studies.malleconv import cost_at, gain, milliseconds, results, write_report
from studies.study_file import StudyFile
from study import main

from malle_rt.errors import ConfigError
from malle_rt.net.cost import kmac_per_pixel

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(2):
        picture = np.random.default_rng(seed).integers(0, 255, (40, 50, 3), np.uint8)
        cv2.imwrite(str(folder / f"{seed}.png"), cv2.blur(picture, (5, 5)))
    return folder


def made_book(path, psnr):
    """A study of made-up figures: cell to (kMAC, PSNR of each seed)."""
    plan = {"steps": 9, "batch": 2, "size": 32, "rate": 1e-3, "sigma": 25.0}
    runs = [
        {"cell": cell, "seed": seed, "device": "CPU", "psnr": value, "loss": -20.0, "minutes": 0.1}
        for cell, (_, values) in psnr.items()
        for seed, value in enumerate(values)
    ]
    described = {cell: {"kmac_per_pixel": kmac} for cell, (kmac, _) in psnr.items()}
    times = {"a machine": {cell: kmac / 2 for cell, (kmac, _) in psnr.items()}}
    return StudyFile(path, plan, runs, described, times, {"test": "made", "tested": 2, "trained": 2})


@pytest.mark.parametrize("name", sorted(cells()))
def test_every_network_denoises_any_size(name):
    net = Backbone(cells()[name]).eval()
    with torch.inference_mode():
        assert net(torch.rand(1, 3, 17, 23)).shape == (1, 3, 17, 23)
    layers = sum(isinstance(module, (MalleLayer, torch.nn.Conv2d)) for module in net.body)
    assert layers == net.config.depth
    assert sum(isinstance(module, MalleLayer) for module in net.body) == net.config.malle


@pytest.mark.parametrize("size", ["small", "large"])
def test_the_matched_network_costs_the_same(size):
    malle, matched = (
        kmac_per_pixel(Backbone(cells()[f"{size}-{kind}"]).eval()) for kind in ("malle", "matched")
    )
    assert matched == pytest.approx(malle, rel=0.04)


def test_arithmetic_of_a_slice_is_counted():
    plain, malle = (BackboneConfig(depth=3, width=4, malle=count) for count in (0, 1))
    conv, first_and_last = 9 * 4 * 4, 2 * 9 * 3 * 4
    assert kmac_per_pixel(Backbone(plain)) * 1e3 == pytest.approx(first_and_last + conv)
    # 10 taps of 4 channels, interpolated and applied; then the predictor's layers on its grids.
    predictor = 4 * 4 + (2 * 4 * 8 + 9 * 8 + 4 * 40) / 64
    assert kmac_per_pixel(Backbone(malle)) * 1e3 == pytest.approx(first_and_last + 2 * 10 * 4 + predictor)


def test_cost_at_equal_quality_is_read_off_the_curve():
    curve = [(40.0, 31.0), (10.0, 29.0), (20.0, 30.0)]
    assert cost_at(curve, 30.0) == pytest.approx(20)
    assert cost_at(curve, 30.5) == pytest.approx(20 * 2**0.5)
    assert cost_at([(1.0, 30.0), (2.0, 29.0), (3.0, 31.0)], 29.5) is None, "the cheapest is good enough"
    assert cost_at(curve, 31.1) is None and cost_at(curve, 28.0) is None


def test_gains_are_taken_seed_by_seed_and_diverged_runs_left_out(tmp_path):
    book = made_book(tmp_path / "s.json", {"a": (10.0, [29.0, 31.0, None]), "b": (10.0, [28.5, 30.5, 99.0])})
    found = results(book)
    assert gain(found["a"], found["b"]) == (pytest.approx(0.5), pytest.approx(0))
    assert found["a"].diverged == 1


def test_the_report_says_what_the_figures_say(tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: extra 'report'")
    figures = {
        "small-malle": (10.0, [30.0, 30.2]),
        "small-matched": (10.0, [29.0, 29.2]),
        "small-plain": (20.0, [30.0, 30.2]),
        "small-wider": (40.0, [31.0, 31.2]),
        "small-k5": (11.0, [30.1, 30.3]),
    }
    write_report(made_book(tmp_path / "s.json", figures), tmp_path / "study.md")
    text = (tmp_path / "study.md").read_text()
    assert "At equal cost (`matched`, 100% of its arithmetic): **+1.00 ± 0.00 dB**" in text
    assert "arithmetic: plain layers need **2.00 times** as much" in text
    assert "time (a machine): plain layers need **2.00 times** as much" in text
    assert "| small-k5 | 11.0 | 5.50 | 30.20 ± 0.14 | 2 |" in text
    assert "| small-plain | 20.0 | 10.00 | 30.10 ± 0.14 | 2 |" in text
    assert "The large network" not in text and "do not rank them for good" in text
    assert cv2.imread(str(tmp_path / "study.png")).std() > 5


def test_a_report_of_nothing_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no finished run"):
        write_report(StudyFile(tmp_path / "s.json"), tmp_path / "study.md")


def test_the_program_runs_two_networks_and_goes_on_where_it_stopped(photos, tmp_path, monkeypatch):
    out = tmp_path / "study.json"
    words = ["--stills", str(photos), "--test", str(photos), "--out", str(out), "--threads", "1"]
    words += ["--steps", "3", "--batch", "2", "--size", "32", "--only", "small-malle", "small-matched"]
    words += ["--float32", "--no-compiled-slice"]
    monkeypatch.setattr("sys.argv", ["study.py", "malleconv", *words, "--seeds", "1"])
    assert main() == 0
    first = json.loads(out.read_text())["runs"]
    assert [(run["cell"], run["seed"]) for run in first] == [("small-malle", 0), ("small-matched", 0)]
    assert main() == 2, "an existing study is not overwritten"
    monkeypatch.setattr("sys.argv", ["study.py", "malleconv", *words, "--seeds", "2", "--resume"])
    assert main() == 0
    book = StudyFile.read(out)
    assert book.runs[:2] == first and len(book.runs) == 4
    assert all(5 < run["psnr"] < 60 for run in book.runs)
    assert book.plan["steps"] == 3 and book.plan["float32"]
    assert {run["device"] for run in book.runs} == {"CPU, 1 thread, float32, slice in torch"}


def test_a_name_that_stands_for_another_network_now_is_refused(tmp_path):
    book = StudyFile(tmp_path / "study.json")
    config = cells()["small-matched"]
    book.describe("small-matched", asdict(config), 31.8)
    book.check({"small-matched": asdict(config), "small-plain": {}})
    with pytest.raises(ConfigError, match=f"small-matched was made with width {config.width}: begin another"):
        book.check({"small-matched": asdict(replace(config, width=config.width - 1))})


def test_the_same_seed_gives_the_same_network(photos, tmp_path, monkeypatch):
    words = ["--stills", str(photos), "--test", str(photos), "--steps", "2", "--batch", "2", "--size", "32"]
    words += ["--no-compiled-slice"]
    scores = []
    for name in ("a.json", "b.json"):
        out = ["--out", str(tmp_path / name), "--seeds", "1", "--only", "small-k1", "--threads", "1"]
        monkeypatch.setattr("sys.argv", ["study.py", "malleconv", *words, *out])
        assert main() == 0
        scores.append(StudyFile.read(tmp_path / name).runs[0]["psnr"])
    assert scores[0] == scores[1]


def test_networks_with_a_malleconv_are_timed_in_openvino():
    nets = {str(width): Backbone(BackboneConfig(depth=3, width=width, malle=1)).eval() for width in (4, 32)}
    times = milliseconds(nets, torch.device("cpu"))
    assert 0 < times["4"] < times["32"] < 10_000
