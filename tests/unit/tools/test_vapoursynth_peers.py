"""Filters of VapourSynth as peers; MALLE_VAPOURSYNTH names an interpreter that has them."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from yardstick.peers import VAPOURSYNTH, vapoursynth_peers, vapoursynth_reason
from yardstick.raw import RawVideo

from malle_rt.measuring import psnr

PYTHON = os.environ.get("MALLE_VAPOURSYNTH")
STRENGTHS = {"vbm3d": (20, 20), "nlm-ispc": (40, 40), "mvdegrain3": (1000, 1000)}


def test_an_interpreter_without_it_is_told(tmp_path):
    assert vapoursynth_reason(tmp_path / "python") is not None
    assert "vapoursynth" in (vapoursynth_reason(Path(sys.executable)) or "vapoursynth")


@pytest.mark.skipif(PYTHON is None, reason="MALLE_VAPOURSYNTH names no interpreter with VapourSynth")
@pytest.mark.parametrize("name", VAPOURSYNTH)
def test_a_filter_cleans_luma_and_chroma(name, tmp_path):
    clean = np.full((8, 96, 64), 120, np.uint8)
    noise = np.random.default_rng(0).normal(0, 15, clean.shape)
    noisy = np.clip(clean + noise, 0, 255).astype(np.uint8)
    peer = vapoursynth_peers(Path(PYTHON))[name]
    output = tmp_path / "out.yuv"
    run = peer.denoise(RawVideo.write(tmp_path / "in.yuv", noisy), output, STRENGTHS[name])
    found = RawVideo(output, (64, 64), 8).read()
    assert run.fps > 0
    for rows in (slice(0, 64), slice(64, 96)):
        assert psnr(clean[:, rows], found[:, rows]) > psnr(clean[:, rows], noisy[:, rows]) + 5


@pytest.mark.skipif(PYTHON is None, reason="MALLE_VAPOURSYNTH names no interpreter with VapourSynth")
def test_nlmeans_leaves_no_holes_at_a_small_strength(tmp_path):
    noisy = np.random.default_rng(0).integers(100, 200, (3, 96, 64)).astype(np.uint8)
    output = tmp_path / "out.yuv"
    peer = vapoursynth_peers(Path(PYTHON))["nlm-ispc"]
    peer.denoise(RawVideo.write(tmp_path / "in.yuv", noisy), output, (0.5, 0.5))
    assert RawVideo(output, (64, 64), 3).read().min() >= 95
