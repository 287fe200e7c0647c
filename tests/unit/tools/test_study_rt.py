"""The study of rt-s's parts: its variants, what its figures add up to, and the program."""

import json

import numpy as np
import pytest
import torch
from media import write_clip
from PIL import Image
from studies.rt import difference, measure, milliseconds, write_report
from studies.rt_variants import BASE, VARIANTS, OneBalanced, Placed
from studies.study_file import StudyFile
from study import main
from video_task import FIRST, denoise, noisy_clip

from malle_rt.errors import ConfigError
from malle_rt.measuring import psnr
from malle_rt.net.cost import rt_kmac_per_pixel
from malle_rt.net.rt import MalleNetRT, RTState

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


def planes():
    torch.manual_seed(1)
    return torch.rand(1, 1, 32, 48), torch.rand(1, 2, 16, 24), torch.full((1, 1, 1, 1), 0.1)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_runs_on_its_own_output_and_learns_with_all_it_has(name):
    torch.manual_seed(0)
    net = VARIANTS[name].make()
    y, uv, sigma = planes()
    first = RTState(*net(y, uv, sigma, net.first_state(y, uv)))
    second = RTState(*net(y, uv, sigma, first))
    assert [value.shape for value in second] == [value.shape for value in net.first_state(y, uv)]
    assert not torch.equal(first.y, second.y)
    sum(value.square().mean() for value in (first.uv, *second)).backward()
    assert not [name for name, value in net.named_parameters() if value.grad is None]


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != BASE])
def test_every_variant_is_another_network_than_the_base(name):
    y, uv, sigma = planes()
    torch.manual_seed(0)
    net, base = VARIANTS[name].make(), VARIANTS[BASE].make()
    shared = {k: v for k, v in base.state_dict().items() if k in net.state_dict()}
    if name == "coarse":  # the same weights, used otherwise
        net.load_state_dict(shared)
        assert not torch.equal(*(each(y, uv, sigma, each.first_state(y, uv))[0] for each in (net, base)))
    else:
        sizes = [{k: v.shape for k, v in each.state_dict().items()} for each in (net, base)]
        assert sizes[0] != sizes[1]


def test_malleconv_placed_where_it_ships_is_the_shipped_network():
    torch.manual_seed(0)
    base = MalleNetRT(VARIANTS[BASE].make().config)
    placed = Placed(VARIANTS[BASE].make().config, ("across_half",))
    state = {
        name.replace("malle.", "malles.across_half."): value for name, value in base.state_dict().items()
    }
    placed.load_state_dict(state)
    y, uv, sigma = planes()
    for got, wanted in zip(
        placed(y, uv, sigma, placed.first_state(y, uv)),
        base(y, uv, sigma, base.first_state(y, uv)),
        strict=True,
    ):
        torch.testing.assert_close(got, wanted)


def test_arithmetic_of_variants_is_counted():
    painted, base, wide = (rt_kmac_per_pixel(VARIANTS[name].make()) for name in ("painted", BASE, "state-16"))
    assert painted < base < wide


def test_a_kernel_by_itself_is_balanced_like_a_pair():
    torch.manual_seed(0)
    kernel = OneBalanced(6, 3)
    torch.nn.init.normal_(kernel.layer.weight)
    torch.nn.init.normal_(kernel.layer.bias)
    taps = kernel(torch.randn(2, 6, 4, 5))[:, :-1]
    torch.testing.assert_close(taps.sum(1), torch.ones(2, 4, 5), rtol=0, atol=1e-5)


def test_it_measures_the_last_frames():
    net = VARIANTS[BASE].make().eval()
    clip = torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    noisy, clean = noisy_clip(clip, "25", seed=25)
    output = denoise(FIRST, net, noisy, FIRST.told(noisy, clean))
    expected = psnr(output.y[-4:].numpy(), clean.y[-4:].numpy(), peak=1.0)
    assert measure(net, [clip], 25)["y"] == pytest.approx(expected, abs=6e-4)


def figures(y, uv=30.0):
    return {sigma: {"y": y, "uv": uv} for sigma in ("10", "25", "50")}


def test_differences_are_taken_seed_by_seed():
    mean, spread = difference(
        {0: figures(30.5), 1: figures(31.7), 2: figures(99)}, {0: figures(30.0), 1: figures(31.0)}, "y"
    )
    assert mean == pytest.approx(0.6) and spread == pytest.approx(0.2 / 2**0.5)


def test_the_report_has_a_table_for_each_question_that_was_asked(tmp_path):
    made = {BASE: [30.0, 30.2], "painted": [28.0, 28.4], "luma-k3": [29.9]}
    runs = [
        {"cell": name, "seed": seed, "device": "CPU", "psnr": figures(value), "minutes": 1.0}
        for name, values in made.items()
        for seed, value in enumerate(values)
    ]
    runs.append({"cell": "residual", "seed": 0, "device": "CPU", "psnr": None, "minutes": 1.0})
    cells = {name: {"what": "", "kmac_per_pixel": 5.0} for name in (*made, "residual")}
    times = {"a machine": {name: 12.34 for name in cells}}
    plan = {"steps": 9, "batch": 4, "float32": False}
    material = {"clips": 2, "stills": 3, "tested": 1}
    write_report(StudyFile(tmp_path / "s.json", plan, runs, cells, times, material), tmp_path / "r.md")
    text = (tmp_path / "r.md").read_text()
    row = "5.0 | 12.3 | 28.20 | 28.20 | 28.20 | -1.90 ± 0.14 | +0.00 ± 0.00 | 2 |"
    assert f"| painted | the direct term alone is the picture | {row}" in text
    assert "| 29.90 | 29.90 | 29.90 | -0.10 | +0.00 | 1 |" in text
    assert "| residual | the direct term alone, added to the noisy picture | 5.0 | 12.3 | diverged |" in text
    assert "Runs that diverged: 1.**" in text and "take it for a hint" in text
    assert "--seeds 2 \\\n  --steps 9 --batch 4" in text
    assert "What the output is made of" in text and "What it remembers" not in text
    with pytest.raises(ConfigError, match="no finished run of base"):
        write_report(StudyFile(tmp_path / "s.json"), tmp_path / "none.md")


def test_the_program_trains_times_reports_and_goes_on_where_it_stopped(tmp_path, monkeypatch):
    (tmp_path / "clips").mkdir()
    (tmp_path / "stills").mkdir()
    write_clip(tmp_path / "clips" / "a.nut", frames=5, size=(64, 48))
    picture = np.random.default_rng(0).integers(0, 255, (80, 96, 3), np.uint8)
    Image.fromarray(picture).save(tmp_path / "stills" / "a.png")
    out = tmp_path / "study.json"
    words = ["study.py", "rt", "--clips", tmp_path / "clips", "--stills", tmp_path / "stills", "--validate"]
    words += [tmp_path / "clips" / "a.nut", "--cache", tmp_path / "cache.pt", "--out", out, "--threads", "1"]
    words += ["--steps", "2", "--batch", "1", "--frames", "4", "--chunk", "2", "--size", "32"]
    words += ["--only", BASE, "now-only", "--float32", "--no-compiled-slice"]

    def run(*more):
        monkeypatch.setattr("sys.argv", [str(word) for word in (*words, *more)])
        return main()

    assert run("--resume") == 2, "there is nothing to go on with"
    assert run("--seeds", "1") == 0
    first = json.loads(out.read_text())["runs"]
    assert [(each["cell"], each["seed"]) for each in first] == [(BASE, 0), ("now-only", 0)]
    assert run() == 2, "an existing study is not overwritten"
    assert run("--seeds", "2", "--resume", "--report", tmp_path / "r.md") == 0
    book = StudyFile.read(out)
    assert book.runs[:2] == first and len(book.runs) == 4
    assert all(5 < planes["y"] < 60 for each in book.runs for planes in each["psnr"].values())
    assert "no kernels over the previous output" in (tmp_path / "r.md").read_text()
    book.cells["now-only"]["what"] = "something else"
    book.write()
    assert run("--resume") == 2, "a name that stands for another network now is refused"


def test_variants_are_timed_in_openvino():
    names = (BASE, "malle-both")
    times = milliseconds({name: VARIANTS[name].make() for name in names})
    assert tuple(times) == names and all(0 < each < 10_000 for each in times.values())
