from dataclasses import replace

import numpy as np
import pytest

from malle_rt.api import open_denoiser
from malle_rt.backends.base import FrameShape
from malle_rt.backends.select import select_backend
from malle_rt.config import DenoiseConfig
from malle_rt.contract import Noise
from malle_rt.errors import ConfigError
from malle_rt.media.rgb import from_order, to_order
from malle_rt.media.synthetic import SyntheticSource
from malle_rt.photo.frames import FrameByFrame, FrameByFrameBackend


@pytest.fixture
def denoiser():
    opened, line = open_denoiser(DenoiseConfig(model="mallenet-s"))
    assert line.startswith("openvino mallenet-s fp32") and "each frame by itself" in line
    assert isinstance(opened, FrameByFrame)
    yield opened
    opened.close()


def error(frame, truth):
    return [
        float(np.sqrt(np.mean((a.astype(float) - b) ** 2)))
        for a, b in zip(frame.planes, truth.planes, strict=True)
    ]


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le", "yuv444p", "gray"])
def test_frames_of_every_kind_are_cleaned(denoiser, pix_fmt):
    source = SyntheticSource(
        2, (97, 65) if pix_fmt == "yuv444p" else (96, 64), pix_fmt=pix_fmt, noise_sigma=15
    )
    for index, noisy in enumerate(source):
        clean, truth = denoiser.start(noisy)(), source.clean(index)
        assert clean.pix_fmt == pix_fmt and clean.pts == noisy.pts
        assert [plane.shape for plane in clean.planes] == [plane.shape for plane in noisy.planes]
        assert error(clean, truth)[0] < 0.6 * error(noisy, truth)[0]
    assert 8 < denoiser.sigma < 75 and denoiser.untouched == 0


def test_fields_are_cleaned_by_themselves(denoiser):
    source = SyntheticSource(1, (96, 64), noise_sigma=15)
    noisy, truth = replace(next(iter(source)), fields="top"), source.clean(0)
    assert error(denoiser.start(noisy)(), truth)[0] < 0.7 * error(noisy, truth)[0]


def test_clean_frames_stay_as_they_are_to_the_last_bit(denoiser):
    frame = SyntheticSource(1, (96, 64)).clean(0)
    flat = replace(frame, planes=tuple(np.full_like(plane, 120) for plane in frame.planes))
    assert denoiser.start(flat)() is flat and denoiser.untouched == 1


def test_planes_and_back_are_nearly_the_rgb_picture():
    frame = SyntheticSource(1, (96, 64), pix_fmt="yuv444p10le").clean(0)
    pixels = np.random.default_rng(0).integers(20000, 50000, (64, 96, 3)).astype(np.uint16)
    back = to_order(replace(frame, planes=from_order(pixels, "rgb48le", frame)), "rgb48le")
    assert np.abs(back.astype(int) - pixels).max() < 200  # of 65535; the planes have 10 bits


def test_the_benchmark_has_it_behind_the_contract_of_backends():
    source = SyntheticSource(1, (96, 64), noise_sigma=15)
    noisy, truth = next(iter(source)), source.clean(0)
    backend = FrameByFrameBackend(DenoiseConfig(model="mallenet-s", strength=15))
    session = backend.prepare(FrameShape(96, 64))
    planes, state = session.run(noisy.planes, Noise.white(15), None)
    backend.close()
    assert state is None and backend.info.model == "mallenet-s"
    assert error(replace(noisy, planes=planes), truth)[0] < 0.5 * error(noisy, truth)[0]
    begin, end = session.network_span
    assert 0 < end - begin < 60


def test_what_it_does_not_run_in_is_said():
    for wrong in ({"backend": "torch", "precision": "fp16"}, {"precision": "int8"}):
        with pytest.raises(ConfigError, match=r"model mallenet-s runs in backend openvino \(fp32\), torch"):
            open_denoiser(DenoiseConfig(model="mallenet-s", **wrong))
    with pytest.raises(ConfigError, match="model mallenet-s is for photographs"):
        select_backend(DenoiseConfig(model="mallenet-s", backend="openvino"))
