"""Where frames are kept, from the option down to the session; the GPU is the host implementation of the driver."""

import threading
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from helpers import cuda_host
from helpers.fakecuda import fake_cuda
from helpers.surfaces import FakeDecoder
from media import indices, read_frames, write_clip

pytest.importorskip("torch")
pytest.importorskip("cuda.bindings")
from helpers.host_backend import HostBackend

from malle_rt.api import Transcode, TranscodeOptions
from malle_rt.array_denoiser import Denoiser
from malle_rt.arrays import array_format
from malle_rt.backends.base import FrameShape
from malle_rt.backends.select import Selection
from malle_rt.config import DenoiseConfig
from malle_rt.cuda.kernels import Kernels, Launch
from malle_rt.denoiser import FrameDenoiser
from malle_rt.errors import ConfigError, KernelError, PipelineError
from malle_rt.frame import Frame, Surface
from malle_rt.media.file_source import FileSource
from malle_rt.media.synthetic import SyntheticSource

SIZE = (128, 96)
SHAPE = FrameShape(*SIZE, pitches=(256, 256))


@pytest.fixture
def backend():
    with fake_cuda(cuda_host.build()) as fake:
        backend = HostBackend(fake)
        yield backend
        backend.close()
        for thread in threading.enumerate():
            if thread.name == "malle-gpu-release":
                thread.join()


@pytest.fixture
def nvdec(backend):
    decoder = FakeDecoder(backend.driver, SHAPE)
    backend.decoder = decoder.stream
    yield decoder
    decoder.close()


def noisy(frames):
    return list(SyntheticSource(frames, SIZE, Fraction(25), noise_sigma=12))


def on_device(nvdec, frame):
    return Frame(nvdec.picture(frame.planes), frame.pix_fmt, frame.pts, frame.time_base)


def cleaned(backend, config, frames, *, keep=False):
    denoiser = FrameDenoiser(backend, config)
    denoiser.keep_surfaces = keep
    for frame in frames:
        yield denoiser.denoise(frame)
    denoiser._end_session()  # the backend is used again


@pytest.mark.slow
@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("mix", [1.0, 0.5])
def test_frames_on_the_gpu_are_cleaned_like_those_in_host_memory(backend, nvdec, keep, mix):
    frames, config = noisy(5), DenoiseConfig(strength=12, mix=mix)
    wanted = list(cleaned(backend, config, frames))
    pictures = (on_device(nvdec, frame) for frame in frames)
    for got, expected in zip(cleaned(backend, config, pictures, keep=keep), wanted, strict=True):
        assert isinstance(got.planes, Surface) == (keep and mix == 1)
        assert (got.pts, got.width, got.height) == (expected.pts, *SIZE)
        for ours, theirs in zip(got.planes, expected.planes, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert nvdec.downloads == (0 if mix == 1 else 5)
    del got


@pytest.mark.slow
def test_noise_and_cuts_are_found_without_bringing_frames_down(backend, nvdec):
    """To the last bit what frames in host memory tell, in both shots."""
    frames = noisy(14)
    frames += [replace(each, planes=tuple(255 - plane for plane in each.planes)) for each in noisy(6)]
    denoiser, other = (FrameDenoiser(backend, DenoiseConfig()) for _ in range(2))
    seen = []
    for each, images in ((denoiser, [on_device(nvdec, frame) for frame in frames]), (other, frames)):
        seen.append([])
        for frame in images:
            each.denoise(frame)
            seen[-1].append((*each.seen, each.sigma))
        each._end_session()
    assert seen[0] == seen[1]
    assert [index for index, (told, _) in enumerate(seen[0]) if told.cut] == [14]
    assert denoiser.sigma == pytest.approx(12, rel=0.3)
    assert nvdec.downloads == 0


@pytest.mark.slow
def test_a_kept_result_outlives_the_denoiser(backend, nvdec):
    frame = noisy(1)[0]
    denoiser = FrameDenoiser(backend, DenoiseConfig(strength=12))
    denoiser.keep_surfaces = True
    clean = denoiser.denoise(on_device(nvdec, frame))
    nvdec.close()
    denoiser.close()
    assert clean.planes[0].shape == frame.planes[0].shape
    assert np.abs(clean.planes[0].astype(float) - frame.planes[0]).mean() > 1
    del clean


def test_where_nvdec_is_missing_the_line_says_so_and_the_film_is_written(backend, tmp_path, monkeypatch):
    monkeypatch.setattr("malle_rt.api.select_backend", lambda config: Selection(backend, "asked for"))
    clip = write_clip(tmp_path / "a.mp4", codec="libx264", frames=4)
    with Transcode(clip, tmp_path / "b.mkv", TranscodeOptions(config=DenoiseConfig(strength=5))) as job:
        assert job.backend.endswith("; decoded on the processor")
        job.run()
    written = FileSource(tmp_path / "b.mkv")
    assert indices(read_frames(written)[0]) == [0, 1, 2, 3]
    written.close()


def test_insisting_on_nvdec_fails_where_it_is_missing(backend, tmp_path, monkeypatch):
    monkeypatch.setattr("malle_rt.api.select_backend", lambda config: Selection(backend, "asked for"))
    clip = write_clip(tmp_path / "a.mp4", codec="libx264", frames=4)
    with pytest.raises(ConfigError, match=r"hwaccel cuda cannot be had for this input: .*NVDEC"):
        Transcode(
            clip, tmp_path / "b.mkv", TranscodeOptions(config=DenoiseConfig(strength=5), hwaccel="cuda")
        )
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize(
    "hwaccel, message",
    [("cuda", "needs a backend on an NVIDIA GPU"), ("fast", "must be one of auto, cuda, none, got 'fast'")],
)
def test_an_hwaccel_that_cannot_work_is_refused(tmp_path, hwaccel, message):
    clip = write_clip(tmp_path / "a.nut", frames=2)
    with pytest.raises(ConfigError, match=message):
        Transcode(
            clip,
            tmp_path / "b.mkv",
            TranscodeOptions(config=DenoiseConfig(backend="openvino"), hwaccel=hwaccel),
        )


@pytest.mark.slow
def test_a_stream_of_arrays_is_some_frames_ahead_of_its_results(backend, monkeypatch):
    monkeypatch.setattr("malle_rt.api.select_backend", lambda config: Selection(backend, "the host"))
    layout = array_format("yuv420p")
    arrays = [layout.array(each) for each in noisy(6)]
    buffer, taken = np.empty_like(arrays[0]), []

    def camera():
        for index, each in enumerate(arrays):
            taken.append(index)
            buffer[:] = each
            yield buffer

    with Denoiser(strength=12, mix=0.8, pixel_format="yuv420p") as denoiser:
        streamed, seen = [], []
        for clean in denoiser.stream(camera()):
            streamed.append(clean)
            seen.append(len(taken))
        assert seen[0] > 1  # before the first result
        denoiser.reset()
        called = [denoiser(each) for each in arrays]
        denoiser.reset()
        for _ in denoiser.stream(iter(arrays)):  # left with frames in flight
            break
        denoiser.reset()
        again = list(denoiser.stream(iter(arrays)))
    for one, other, third in zip(streamed, called, again, strict=True):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(one, third)


@pytest.mark.slow
@pytest.mark.parametrize("nth", [40, 75])
def test_a_gpu_that_is_lost_in_the_middle_ends_the_run_in_one_line(tmp_path, monkeypatch, nth):
    """As when a cable comes loose or the driver gives up: what is written by then is not taken for the film."""
    with fake_cuda(cuda_host.build(), check=False) as fake:
        backend = HostBackend(fake)
        monkeypatch.setattr("malle_rt.api.select_backend", lambda config: Selection(backend, "asked for"))
        clip = write_clip(tmp_path / "a.mp4", codec="libx264", frames=12)
        options = TranscodeOptions(config=DenoiseConfig(strength=5))
        with Transcode(clip, tmp_path / "b.mkv", options) as job:
            fake.fail("execution", 719, nth=nth)
            with pytest.raises(PipelineError, match="CUDA_ERROR_LAUNCH_FAILED"):
                job.run()
        assert [
            path.name
            for path in tmp_path.iterdir()
            if path.name.startswith("b.") and "partial" not in path.name
        ] == []


def test_kernels_of_a_closed_driver_are_refused(backend):
    kernels = Kernels(backend.driver)
    launch = Launch("malle_block_sums_u8", (1, 1, 1), (32, 8, 1), ())
    stream = backend.driver.stream()
    handle = stream.handle
    stream.close()
    backend.close()
    with pytest.raises(KernelError):
        kernels.start(launch, handle)
