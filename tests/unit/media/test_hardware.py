"""Pictures on a GPU as PyAV hands them out and takes them; what happens where there is none, for real."""

import logging

import av
import numpy as np
import pytest
from helpers.fakecuda import fake_cuda
from helpers.surfaces import FakeDecoder
from media import indices, read_frames, write_clip

from malle_rt.backends.base import FrameShape
from malle_rt.backends.gpu.borrowed import Borrowed
from malle_rt.cuda.opening import open_driver
from malle_rt.errors import SourceError
from malle_rt.frame import Surface, pixel_layout
from malle_rt.media.compat import can_keep_on_gpu
from malle_rt.media.encode_config import EncodeConfig
from malle_rt.media.file_sink import FileSink
from malle_rt.media.file_source import FileSource
from malle_rt.media.hardware import SurfaceEncoding, decoder_into_memory, on_gpu, pixel_name, surface_of
from malle_rt.media.picture_plan import plan_picture
from malle_rt.media.synthetic import SyntheticSource

needs_surfaces = pytest.mark.skipif(not can_keep_on_gpu(), reason="this PyAV keeps no pictures on a GPU")
SHAPE = FrameShape(72, 40, pitches=(128, 128))


@pytest.fixture
def driver():
    pytest.importorskip("cuda.bindings")
    with fake_cuda():
        driver = open_driver("cuda-bindings")
        yield driver
        driver.close()


@pytest.fixture
def nvdec(driver):
    decoder = FakeDecoder(driver, SHAPE)
    yield decoder
    decoder.close()


def planes(shape=SHAPE):
    random = np.random.default_rng(0)
    return tuple(
        random.integers(0, 256, size, np.uint8)
        for size in pixel_layout("yuv420p").plane_shapes(shape.width, shape.height)
    )


def as_decoded(surface):
    """What NVDEC would give for it: a frame of addresses."""
    return av.VideoFrame.from_dlpack(surface.device, format="nv12", primary_ctx=True)


@needs_surfaces
def test_without_a_gpu_the_processor_decodes_the_same_frames(tmp_path, caplog):
    clip = write_clip(tmp_path / "a.mp4", codec="libx264", frames=6)
    plain, asked = FileSource(clip), FileSource(clip, gpu=0)
    assert asked.not_on_gpu.startswith("FFmpeg cannot use the GPU (")
    assert plain.not_on_gpu is None and asked.surface is None
    for ours, theirs in zip(read_frames(asked)[0], read_frames(plain)[0], strict=True):
        assert (ours.pts, ours.pix_fmt) == (theirs.pts, theirs.pix_fmt)
        for got, wanted in zip(ours.planes, theirs.planes, strict=True):
            np.testing.assert_array_equal(got, wanted)
    plain.close()
    asked.close()


@needs_surfaces
def test_a_codec_without_nvdec_is_named(tmp_path):
    source = FileSource(write_clip(tmp_path / "a.nut", frames=4), gpu=0)
    assert source.not_on_gpu == "FFmpeg has no NVDEC decoder for ffv1"
    assert indices(read_frames(source)[0]) == [0, 1, 2, 3]
    source.close()


def test_a_missing_file_is_a_missing_file(tmp_path):
    with pytest.raises(SourceError, match="no such file"):
        FileSource(tmp_path / "none.mp4", gpu=0)


def test_an_old_pyav_says_which_one_can(tmp_path, monkeypatch):
    monkeypatch.setattr("malle_rt.media.hardware.can_keep_on_gpu", lambda: False)
    source = FileSource(write_clip(tmp_path / "a.nut", frames=2), gpu=0)
    assert source.not_on_gpu.startswith(
        f"PyAV {av.__version__} cannot leave NVDEC's pictures on the GPU; PyAV 18"
    )
    assert indices(read_frames(source)[0]) == [0, 1]
    source.close()


@needs_surfaces
def test_a_decoded_picture_is_borrowed_through_pyav(nvdec):
    picture = as_decoded(nvdec.picture(planes()))
    assert on_gpu(picture) and pixel_name(picture) == "nv12"
    surface = surface_of(picture)
    assert (surface.shapes[0], surface.pitches) == ((40, 72), (128, 128))
    borrowed = Borrowed(surface, SHAPE, 0)
    assert borrowed.planes[1].pointer == borrowed.planes[0].pointer + 40 * 128
    del picture, surface
    assert nvdec.out == 1
    borrowed.release()
    assert nvdec.out == 0


@needs_surfaces
def test_pyav_gives_an_encoded_pictures_memory_back(nvdec):
    plan = plan_picture(SyntheticSource(1, (72, 40)).info, EncodeConfig(), turn=False)
    assert plan.pix_fmt == "yuv420p"
    encoding = SurfaceEncoding(0, "nv12")
    first, second = (encoding.picture(nvdec.picture(planes())) for _ in range(2))
    assert (first.width, first.height, pixel_name(first)) == (72, 40, "nv12")
    del first
    assert nvdec.out == 1
    del second
    assert nvdec.out == 1  # one is kept: an encoder knows the addresses of all
    del encoding
    assert nvdec.out == 0


@needs_surfaces
@pytest.mark.parametrize(
    "codec, reason",
    [
        ("libx264", "libx264 encodes in host memory"),
        ("h264_nvenc", "h264_nvenc does not take pictures from the GPU's memory"),
    ],
)
def test_an_encoder_that_does_not_take_them_says_why(nvdec, codec, reason):
    from malle_rt.media.hardware import NotOnGpu

    info = SyntheticSource(1, (72, 40)).info
    config = EncodeConfig(codec=codec)
    plan = plan_picture(info, config, turn=False)
    with pytest.raises(NotOnGpu, match=reason):
        SurfaceEncoding.proven(config, plan, nvdec.picture(planes()), info.frame_rate)
    assert nvdec.out == 0


def test_a_host_encoder_is_given_downloaded_pictures(tmp_path, nvdec, caplog):
    source = SyntheticSource(4, (72, 40))
    frames = list(source)
    tried = nvdec.picture(frames[0].planes)
    config = EncodeConfig(codec="ffv1")
    sink = FileSink(tmp_path / "a.nut", source.info, config, surface=tried)
    assert sink.no_surfaces.startswith("ffv1 encodes in host memory")
    with caplog.at_level(logging.WARNING):
        for frame in frames:
            object.__setattr__(frame, "planes", nvdec.picture(frame.planes))
            assert isinstance(frame.planes, Surface) and (frame.width, frame.height) == (72, 40)
            sink.write(frame)
    sink.finish()
    assert not caplog.records and nvdec.downloads == 4
    written = FileSource(tmp_path / "a.nut")
    assert indices(read_frames(written)[0]) == [0, 1, 2, 3]
    written.close()
    del frame, tried
    frames.clear()
    assert nvdec.out == 0


def test_a_decoder_for_streams_is_tried_before_anything_is_connected(driver, caplog):
    caplog.set_level(logging.INFO)
    accelerated = decoder_into_memory(0)
    assert accelerated is not None and not accelerated.is_hw_owned
    assert decoder_into_memory(7) is None
    assert "streams are decoded on the processor: FFmpeg cannot use GPU 7" in caplog.text
