"""The measurement itself, on real networks, and on backends that cheat."""

import pytest
from helpers import cuda_host
from helpers.fakecuda import fake_cuda
from helpers.host_backend import HostBackend
from helpers.sabotage import FRAUDS, Fraud

from malle_rt.bench.measure import measure
from malle_rt.bench.spans import STAGES
from malle_rt.models import checksum, graph_file


@pytest.fixture
def measured(clip, tmp_path):
    def run(backend):
        return measure(backend, clip, seconds=0.3, folder=tmp_path)

    return run


@pytest.mark.slow
def test_the_row_is_proven_and_says_which_weights_ran(measured, backend):
    found = measured(backend)
    assert found.problem is None and found.gain_db > 6
    assert found.info.weights == checksum(graph_file("rt-s", "fp32"))
    assert found.peak_host_mib > 50
    assert min(found.pipeline_fps, found.file_fps, found.start_ms, found.network_ms, found.cores) > 0


@pytest.mark.slow
def test_stage_times_explain_the_file_to_within_a_tenth(measured, backend):
    account = measured(backend).file
    assert set(account.stages) == set(STAGES)
    assert all(milliseconds > 0 for milliseconds in account.stages.values())
    explained = sum(account.stages.values()) - account.overlap
    assert explained == pytest.approx(account.wall, rel=0.1)


@pytest.mark.slow
def test_pack_network_and_unpack_explain_a_frame_to_within_a_tenth(measured, backend):
    unexplained = []
    for _ in range(4):  # medians add up while the machine is steady; another program may come between
        found = measured(backend)
        median = sorted(found.latency_ms)[len(found.latency_ms) // 2]
        unexplained.append(abs(sum(found.stages_ms.values()) / median - 1))
        if unexplained[-1] < 0.1:
            break
    assert min(unexplained) < 0.1
    assert found.network_ms == found.stages_ms["network"] > found.stages_ms["pack"]


@pytest.mark.slow
@pytest.mark.parametrize(("words", "tamper"), FRAUDS.items())
def test_a_backend_that_cheats_is_caught_and_named(measured, backend, words, tamper):
    found = measured(Fraud(backend, tamper))
    assert words in found.problem


@pytest.mark.slow
def test_a_network_that_stops_on_the_way_is_caught(measured, backend):
    calls = []

    def tamper(noisy, clean):
        calls.append(0)
        return noisy if len(calls) > 20 else clean[-1]

    found = measured(Fraud(backend, tamper))
    assert found.gain_db > 6
    assert "wanted +3.0" in found.problem


@pytest.mark.slow
def test_torch_is_looked_into_too(measured):
    pytest.importorskip("torch")
    from malle_rt.backends.torch import TorchBackend

    found = measured(TorchBackend("rt-s"))
    assert found.problem is None
    assert 0 < found.stages_ms["pack"] < found.stages_ms["network"]


@pytest.mark.slow
def test_a_gpu_s_network_is_timed_by_the_device(measured):
    pytest.importorskip("cuda.bindings")
    pytest.importorskip("torch")
    with fake_cuda(cuda_host.build()) as fake:
        found = measured(HostBackend(fake))
    assert found.problem is None and found.gain_db > 6
    assert found.network_ms > 0
    assert set(found.file.stages) == {"decode", "pack", "network", "encode"}
