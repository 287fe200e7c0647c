"""What the doctor finds on this machine, and that it finds what is wrong."""

import getpass
import json
import platform

import pytest

from malle_rt.api import open_denoiser
from malle_rt.cli import main
from malle_rt.denoiser import PassThrough
from malle_rt.doctor import encoders
from malle_rt.doctor.examination import examine
from malle_rt.doctor.nvidia import examine_nvidia
from malle_rt.errors import BackendUnavailable


@pytest.fixture
def report(capsys):
    def run(*options):
        code = main(["doctor", *options])
        return code, capsys.readouterr().out

    return run


def named(findings):
    return {finding.name: finding for finding in findings}


@pytest.mark.slow
def test_the_main_job_runs_here_and_the_text_says_so(report):
    code, text = report()
    assert code == 0
    for words in (
        "processor",
        "openvino",
        "libx264          encodes a frame",
        "model rt-s",
        "model mallenet-m",
        "The main job can run.",
    ):
        assert words in text


@pytest.mark.slow
def test_json_has_every_finding_and_no_private_data(report):
    code, text = report("--json")
    found = json.loads(text)
    assert code == 0 and found["runs"] is True and found["schema"] == 1
    assert {"section", "name", "state", "detail", "advice"} == set(found["findings"][0])
    private = {platform.node(), *([getpass.getuser()] if getpass.getuser() != "root" else [])} - {""}
    assert not [word for word in private if word in text]


def test_a_backend_that_returns_its_input_is_caught(monkeypatch):
    monkeypatch.setattr(
        "malle_rt.doctor.examination.open_denoiser", lambda config: (PassThrough(), "a fraud")
    )
    found = examine()
    assert not found.runs
    assert named(found.findings)["transcode"].state == "broken"
    assert "a fraud: +0.0 dB" in named(found.findings)["transcode"].detail


def test_a_backend_that_does_not_open_is_named_with_its_reason(monkeypatch, report):
    def fail(config):
        raise BackendUnavailable("backend 'x' needs y: pip install y")

    monkeypatch.setattr("malle_rt.doctor.examination.open_denoiser", fail)
    code, text = report()
    assert code == 1
    assert "BAD transcode        backend 'x' needs y" in text
    assert "can NOT run" in text


def test_without_a_driver_the_advice_stands_beside_the_gpu(monkeypatch):
    monkeypatch.setattr(
        "malle_rt.doctor.nvidia.cuda_problem",
        lambda: BackendUnavailable("no driver here", hint="install one"),
    )
    gpu = named(examine_nvidia())["GPU"]
    assert (gpu.state, gpu.detail, gpu.advice) == ("missing", "no driver here", "install one")


def test_encoders_are_really_tried():
    assert encoders.try_encoder("libx264") == ""
    assert encoders.try_encoder("no_such_codec") == "not in this FFmpeg"
    assert set(encoders.try_encoders()) == set(encoders.CODECS)


def test_an_encoder_that_ends_its_process_is_reported(monkeypatch, tmp_path):
    monkeypatch.setattr("sys.executable", "/bin/false")
    assert set(encoders.try_encoders().values()) == {"its trial ended with code 1: it said nothing"}


@pytest.mark.slow
def test_the_trial_is_what_transcode_would_use():
    denoiser, what = open_denoiser()
    denoiser.close()
    assert what.split(" (")[0] in named(examine().findings)["transcode"].detail
