import shutil

import av
import pytest

from malle_rt.bench.peers import PEERS, measure_peer
from malle_rt.errors import BackendUnavailable


@pytest.mark.slow
@pytest.mark.parametrize("name", PEERS)
def test_a_peer_denoises_the_same_frames(name, clip, tmp_path):
    if name == "ffmpeg hqdn3d" and not (shutil.which("ffmpeg") or "hqdn3d" in av.filter.filters_available):
        pytest.skip("neither PyAV nor a program ffmpeg has hqdn3d")
    found = measure_peer(name, clip, seconds=0.1, folder=tmp_path)
    assert found.gain_db > 1
    assert found.fps > 0


def test_without_the_program_its_filter_is_missing(clip, tmp_path, monkeypatch):
    monkeypatch.setattr(av.filter, "filters_available", set())
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BackendUnavailable, match="install ffmpeg"):
        measure_peer("ffmpeg hqdn3d", clip, seconds=0.1, folder=tmp_path)
