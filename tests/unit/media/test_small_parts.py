"""Pixel format choice, encoder settings, clocks and the synthetic source: the parts without a file."""

from fractions import Fraction

import numpy as np
import pytest

from malle_rt.errors import ConfigError, SinkError
from malle_rt.frame import Frame, pixel_layout
from malle_rt.media.encode_config import EncodeConfig
from malle_rt.media.pixel_formats import nearest_planar, nearest_supported
from malle_rt.media.side_data import rotation_of
from malle_rt.media.synthetic import CollectSink, SyntheticSource, read_index
from malle_rt.media.timeline import FrameClock, frame_rate_of


@pytest.mark.parametrize(
    ("given", "planar"),
    [
        ("yuv420p", "yuv420p"),
        ("yuvj422p", "yuv422p"),
        ("nv12", "yuv420p"),
        ("nv16", "yuv422p"),
        ("nv24", "yuv444p"),
        ("p010le", "yuv420p10le"),
        ("p016le", "yuv420p16le"),
        ("p210le", "yuv422p10le"),
        ("yuyv422", "yuv422p"),
        ("uyvy422", "yuv422p"),
        ("yuva444p10le", "yuv444p10le"),
        ("yuv422p10be", "yuv422p10le"),
        ("ya8", "gray"),
        ("gray16be", "gray16le"),
        ("grayf32le", "gray16le"),
        ("monob", "gray"),
        ("pal8", "yuv444p10le"),
        ("rgb24", "yuv444p10le"),
        ("bgra", "yuv444p10le"),
        ("gbrp10le", "yuv444p12le"),
        ("rgb48le", "yuv444p16le"),
        ("y210le", "yuv422p10le"),
        ("yuv411p", "yuv411p"),
        ("uyyvyy411", "yuv411p"),
    ],
)
def test_nearest_planar(given, planar):
    assert nearest_planar(given) == planar
    pixel_layout(planar)


def test_surfaces_of_a_gpu_have_no_planes():
    with pytest.raises(ConfigError, match="'cuda' holds no pixels"):
        nearest_planar("cuda")


@pytest.mark.parametrize(
    ("given", "choice", "expected"),
    [
        ("yuv420p", ["yuv444p", "yuv420p"], "yuv420p"),
        ("yuv420p10le", ["yuv420p", "p010le", "yuv444p16le"], "p010le"),
        ("yuv422p", ["yuv420p", "yuv444p"], "yuv444p"),
        ("yuv444p", ["yuv420p", "yuv422p", "gray"], "yuv422p"),
        ("gray", ["yuv444p", "yuv420p"], "yuv420p"),
        ("gray10le", ["yuv420p", "yuv420p10le"], "yuv420p10le"),
        ("yuv440p", ["yuv420p", "yuv444p"], "yuv444p"),
        ("yuv420p", ["cuda", "rgb24", "yuvj420p", "nv12"], "nv12"),
        ("yuv444p10le", ["yuv420p", "yuv420p10le"], "yuv420p10le"),
    ],
)
def test_nearest_supported_loses_least(given, choice, expected):
    assert nearest_supported(given, choice) == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"codec": "libx2640"}, "no encoder named 'libx2640' here. Try one of: libx264"),
        ({"codec": "aac"}, "'aac' encodes audio, not video"),
        ({"codec": "ffv1", "crf": 10}, "encoder ffv1 has no crf: leave crf unset, or use one of"),
        ({"codec": "ffv1", "preset": "fast"}, "encoder ffv1 has no presets"),
        ({"crf": 52}, "crf of libx264 must be 0 to 51, got 52"),
        ({"codec": "hevc", "crf": 52}, "crf of libx265 must be 0 to 51, got 52"),
        ({"codec": "libsvtav1", "crf": 64}, "crf of libsvtav1 must be 0 to 63, got 64"),
        ({"codec": "h264_vaapi"}, "no encoder 'h264_vaapi', which needs an Intel or AMD GPU"),
        ({"pix_fmt": "rgb24"}, "encoder libx264 cannot take pix_fmt 'rgb24'; it takes yuv420p"),
    ],
)
def test_encode_settings_are_checked(settings, message):
    with pytest.raises(ConfigError, match=message):
        EncodeConfig(**settings)


def test_encode_defaults_and_who_wins():
    assert EncodeConfig().encoder_options() == {"crf": "18", "preset": "veryfast"}
    assert EncodeConfig(codec="ffv1").encoder_options() == {}
    assert EncodeConfig(codec="hevc") == EncodeConfig(codec="libx265")
    assert EncodeConfig(codec="hevc").encoder_options()["crf"] == "20"
    assert EncodeConfig(crf=30, options={"preset": "slow"}).encoder_options() == {
        "crf": "30",
        "preset": "slow",
    }


@pytest.mark.parametrize(
    ("matrix", "degrees"),
    [
        ((65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30), 0),
        ((0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30), -90),
        ((0, -65536, 0, 65536, 0, 0, 0, 0, 1 << 30), 90),
        ((-65536, 0, 0, 0, -65536, 0, 0, 0, 1 << 30), 180),
        ((0,) * 9, 0),
        (None, 0),
    ],
)
def test_rotation_of_a_display_matrix(matrix, degrees):
    assert rotation_of(matrix) == degrees


def test_missing_and_repeated_timestamps_are_repaired_and_counted():
    clock = FrameClock(default_duration=3)
    stamps = [
        clock.stamp(pts, duration)
        for pts, duration in ((0, 0), (None, 0), (None, 5), (None, 0), (11, 0), (20, 0))
    ]
    assert stamps == [0, 3, 6, 11, 12, 20]
    assert clock.repaired == 4


def test_the_synthetic_source_repeats_itself_and_counts():
    noisy = SyntheticSource(300, (48, 32), noise_sigma=20, seed=3)
    again = SyntheticSource(300, (48, 32), noise_sigma=20, seed=3)
    frames = list(noisy)
    assert [read_index(frame) for frame in frames] == list(range(300))
    assert [frame.pts for frame in frames] == list(range(300))
    for one, other in zip(frames[:5], again, strict=False):
        np.testing.assert_array_equal(one.planes[0], other.planes[0])
    assert not np.array_equal(frames[0].planes[0][8:], frames[1].planes[0][8:])


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le", "gray", "yuv444p16le"])
def test_synthetic_noise_has_the_strength_asked_for(pix_fmt):
    source = SyntheticSource(4, (320, 240), pix_fmt=pix_fmt, noise_sigma=10)
    frame, clean = next(iter(source)), source.clean(0)
    layout = pixel_layout(pix_fmt)
    scale = 1 << (layout.bits - 8)
    assert tuple(plane.shape for plane in frame.planes) == layout.plane_shapes(320, 240)
    for noisy, exact in zip(frame.planes, clean.planes, strict=True):
        error = (noisy[8:].astype(float) - exact[8:].astype(float)) / scale
        # Clipping to limited range takes a little; the estimate of 10 from 19,000 samples is good to 0.5 %.
        assert error.std() == pytest.approx(10, rel=0.05)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"frames": 0}, "frames must be 1 to 65536, got 0"),
        ({"frames": 1, "size": (8, 8)}, "at least 16x16, got 8x8"),
        ({"frames": 1, "noise_sigma": -1}, "must not be negative"),
    ],
)
def test_synthetic_arguments_are_checked(arguments, message):
    with pytest.raises(ConfigError, match=message):
        SyntheticSource(**arguments)


def test_the_collecting_sink_is_bounded():
    sink = CollectSink(limit=2)
    frame = Frame((np.zeros((2, 2), np.uint8),), "gray", 0, Fraction(1, 25))
    sink.write(frame)
    sink.write(frame)
    with pytest.raises(SinkError, match="more than 2 items"):
        sink.write(frame)


def test_a_rate_of_thousands_is_a_clock_and_no_rate():
    class Dv:
        average_rate, guessed_rate, base_rate = Fraction(60000), Fraction(25), Fraction(25)

    class Fast:
        average_rate, guessed_rate, base_rate = Fraction(960), Fraction(25), None

    class Silent:
        average_rate = guessed_rate = base_rate = None

    assert [frame_rate_of(video) for video in (Dv, Fast, Silent)] == [25, 960, None]
