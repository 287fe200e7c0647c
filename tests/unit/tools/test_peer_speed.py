"""Timing beside other people's networks: turns, tables, the document, and the program."""

import json

import pytest
import torch
from peer_speed import main
from peerspeed.networks import NAMES, network, ready
from peerspeed.report import scores, write_report
from peerspeed.timings import Row, Table, add_table, interleaved, read_tables, times_as_fast

from malle_rt.errors import ConfigError
from malle_rt.models import model_names
from malle_rt.net.mallenet import STILLS_PRESETS

pytestmark = pytest.mark.usefixtures("one_thread")


def row(name, ms, ratio, kmac=10.0):
    spread = {"low": ratio, "high": ratio, "median": ratio}
    times = {"low": ms, "high": ms * 1.5, "median": ms}
    return Row(
        network=name,
        precision="fp32",
        parameters=1_500_000,
        kmac_per_pixel=kmac,
        ms=times,
        times_as_fast=spread,
    )


def made(runtime="openvino 2026.4", size="480x320", rows=()):
    rows = list(rows) or [row("swinir", 43210.0, 1.0, 12000.0), row("mallenet-s", 43.2, 1000.0, 12.0)]
    return Table(
        runtime=runtime,
        machine="a machine",
        threads=2,
        size=size,
        rounds=3,
        other_cores=1.5,
        yardstick=rows[0].network,
        rows=rows,
    )


@pytest.mark.slow
def test_every_round_has_every_network_in_turn():
    order = []
    calls = {name: (lambda name=name: order.append(name)) for name in "ab"}
    calls = {
        name: (lambda call=call: (call(), torch.randn(1500, 1500).sum())) for name, call in calls.items()
    }
    times = interleaved(calls, rounds=2)
    turns = [name for at, name in enumerate(order) if at == 0 or order[at - 1] != name]
    assert turns == ["a", "b"] * 3, "the first round warms up"
    assert all(len(values) == 2 and min(values) > 0 for values in times.values())


def test_networks_are_compared_within_a_round():
    found = times_as_fast([1.0, 10.0, 2.0], [4.0, 50.0, 12.0])
    assert found == {"median": 5.0, "low": 4.0, "high": 6.0}


def test_the_cheap_ones_run_at_any_size_that_is_asked_for():
    for name in ("ffdnet", "mallenet-s", "rt-s", "fastdvdnet"):
        each = network(name)
        call, precision = ready(each, "torch", (48, 32), 1)
        call()
        assert precision == "fp32"
        assert each.parameters > 1e5 and each.kmac_per_pixel > 1


@pytest.mark.slow
def test_openvino_has_the_graphs_of_networks_and_the_shipped_ones():
    pytest.importorskip("openvino")
    for name, wanted in (("ffdnet", {"fp32"}), ("rt-s", {"int8", "fp32"})):
        call, precision = ready(network(name), "openvino", (48, 32), 1)
        call()
        call()
        assert precision in wanted


def test_all_of_ours_are_there():
    assert set(NAMES) >= {*STILLS_PRESETS, *model_names()}
    assert NAMES[0] == "swinir", "the yardstick"


def test_a_table_takes_the_place_of_an_older_one(tmp_path):
    path = tmp_path / "speed.json"
    tables = [made(), made(size="240x160"), made(rows=[row("swinir", 1.0, 1.0), row("ffdnet", 1.0, 1.0)])]
    for each in tables:
        add_table(path, each)
    assert read_tables(path) == tables[1:]


def test_a_file_of_something_else_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "speed.json"
    for text in ("no json", "{}", '{"tables": [{"runtime": "x"}]}', "[]"):
        path.write_text(text)
        with pytest.raises(ConfigError, match="not measurements"):
            add_table(path, made())
        assert path.read_text() == text


def test_the_document_says_what_was_measured_and_what_was_published(tmp_path):
    quality = {
        "rows": [
            {"model": "ffdnet", "sigma": 25.0, "psnr": 31.18, "ssim": 0.88, "pictures": 68},
            {"model": "ffdnet", "sigma": 5.0, "psnr": 40.1, "ssim": 0.98, "pictures": 68},
        ]
    }
    (tmp_path / "quality.json").write_text(json.dumps(quality))
    write_report([made()], [tmp_path / "quality.json"], tmp_path / "speed.md")
    text = (tmp_path / "speed.md").read_text()
    assert "a machine; threads: 2; rounds: 3; cores that others kept busy: 1.50." in text
    assert "| 43,210 (43,210 to 64,815) | 1 |" in text
    assert "| `mallenet-s` | fp32 | 1.50 M | 12 | 43.2 (43.2 to 64.8) | 1,000 (1,000 to 1,000) |" in text
    assert "`mallenet-s` **1,000** (1,000 times less arithmetic)" in text and "8.9 times" in text
    assert "| DRUNet colour | 34.30 | 31.69 |  | 28.51 | Plug-and-Play" in text
    assert "| FFDNet colour | 25 | 31.21 | 31.180 | -0.030 | 0.8800 |" in text
    assert "| FFDNet colour | 5 |  | 40.100 |  | 0.9800 |" in text
    assert "0.030 dB, within the 0.05 dB" in text
    assert "evaluate.py --model ffdnet --images CBSD68 --peers DIR --sigma 25 5" in text
    assert "it does not say that these sizes are as good" in text


@pytest.mark.slow
def test_quality_of_ours_is_drawn_beside_what_others_published(tmp_path):
    cv2 = pytest.importorskip("cv2")
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: extra 'report'")
    rows = [
        {"model": "mallenet-s", "sigma": sigma, "psnr": psnr, "ssim": 0.9, "pictures": 68}
        for sigma, psnr in ((15.0, 33.0), (25.0, 30.4), (50.0, 27.1))
    ]
    (tmp_path / "ours.json").write_text(json.dumps({"rows": rows}))
    write_report([made()], [tmp_path / "ours.json"], tmp_path / "speed.md")
    text = (tmp_path / "speed.md").read_text()
    assert "| `mallenet-s` | 33.00 | 30.40 | 27.10 |" in text and "](speed.png)" in text
    assert "The yardsticks, reproduced" not in text, "none was measured"
    assert cv2.imread(str(tmp_path / "speed.png")).std() > 5
    assert [(each.network, each.measured) for each in scores(rows) if each.sigma == 25] == [
        ("mallenet-s", True), ("dncnn", False), ("ffdnet", False), ("drunet", False), ("swinir", False)
    ]  # fmt: skip


def test_a_yardstick_that_is_off_is_called_so(tmp_path):
    rows = [{"model": "dncnn", "sigma": 25.0, "psnr": 31.1, "ssim": 0.88, "pictures": 68}]
    (tmp_path / "quality.json").write_text(json.dumps({"rows": rows}))
    write_report([made()], [tmp_path / "quality.json"], tmp_path / "speed.md")
    assert "0.140 dB, **not within** the 0.05 dB" in (tmp_path / "speed.md").read_text()


@pytest.mark.slow
def test_the_program_measures_and_writes_up(tmp_path, monkeypatch):
    out, report = tmp_path / "speed.json", tmp_path / "speed.md"
    words = ["--runtime", "torch", "--size", "48x32", "--rounds", "1", "--threads", "1"]
    words += ["--model", "ffdnet", "mallenet-s", "--out", str(out), "--report", str(report)]
    monkeypatch.setattr("sys.argv", ["peer_speed.py", *words])
    assert main() == 0
    (table,) = read_tables(out)
    assert table.yardstick == "ffdnet" and table.size == "48x32" and table.rounds == 1
    assert [each.network for each in table.rows] == ["ffdnet", "mallenet-s"]
    assert table.rows[0].times_as_fast["median"] == 1
    assert table.rows[1].kmac_per_pixel < table.rows[0].kmac_per_pixel
    assert "times as fast as FFDNet colour" in report.read_text()
    assert "The paper's claim" not in report.read_text(), "SwinIR was not measured"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--out", "speed.json"], "nothing to do"),
        (["--out", "speed.json", "--runtime", "torch", "--quality", "q.json"], "--quality is for a --report"),
        (["--out", "no/speed.json", "--runtime", "torch"], "to write speed.json to"),
        (
            ["--out", "speed.json", "--runtime", "torch", "--size", "50x32"],
            "must be multiples of 8, got 50x32",
        ),
        (["--out", "speed.json", "--runtime", "torch", "--size", "x"], "invalid size value"),
        (["--out", "speed.json", "--runtime", "torch", "--rounds", "0"], "at least 1"),
        (["--out", "speed.json", "--runtime", "torch", "--model", "nope"], "invalid choice: 'nope'"),
    ],
)
def test_options_that_make_no_sense_are_refused(tmp_path, monkeypatch, capsys, words, says):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["peer_speed.py", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2 and says in capsys.readouterr().err


def test_a_missing_file_is_named_in_one_line(tmp_path, monkeypatch, capsys):
    words = ["--out", str(tmp_path / "speed.json"), "--report", str(tmp_path / "speed.md")]
    monkeypatch.setattr("sys.argv", ["peer_speed.py", *words])
    assert main() == 2
    said = capsys.readouterr().err
    assert said.startswith("peer_speed.py: ") and "not measurements" in said and said.count("\n") == 1
