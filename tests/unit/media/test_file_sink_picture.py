"""Writing real containers: what says how a picture is to be shown, and sizes that encoders do not take."""

from fractions import Fraction

import numpy as np
import pytest
from helpers.sink import read, transcode
from media import (
    indices,
    join_files,
    random_planes,
    write_clip,
    write_planes,
)

from malle_rt.frame import ColorTags
from malle_rt.media.encode_config import EncodeConfig

FFV1 = EncodeConfig(codec="ffv1")


def test_aspect_ratio_and_colour_tags_survive(tmp_path):
    def setup(stream):
        stream.codec_context.sample_aspect_ratio = Fraction(16, 11)
        stream.codec_context.color_range = 2
        stream.codec_context.colorspace = 6
        stream.codec_context.color_primaries = 6
        stream.codec_context.color_trc = 6

    path = write_clip(tmp_path / "a.mkv", codec="libx264", setup=setup)
    for target, config in (("b.mkv", None), ("b.mp4", None), ("c.mp4", EncodeConfig(codec="libvpx-vp9"))):
        transcode(path, tmp_path / target, config)
        info, *_ = read(tmp_path / target)
        assert info.sample_aspect_ratio == Fraction(16, 11)
        assert info.color == ColorTags(2, 6, 6, 6)


def test_lost_aspect_ratio_is_said(tmp_path, caplog):
    path = write_clip(
        tmp_path / "a.mkv",
        codec="libx264",
        setup=lambda stream: setattr(stream.codec_context, "sample_aspect_ratio", Fraction(16, 11)),
    )
    transcode(path, tmp_path / "b.mkv", FFV1)
    assert any("not square (16/11)" in record.getMessage() for record in caplog.records)


def rotated(path, degrees, pix_fmt="yuv420p", codec="libx264"):
    return write_clip(
        path,
        codec=codec,
        pix_fmt=pix_fmt,
        options={"qp": "0"} if codec == "libx264" else None,
        setup=lambda stream: stream.set_display_rotation(degrees),
    )


@pytest.mark.parametrize("degrees", [90, -90, 180])
@pytest.mark.parametrize("target", ["b.mp4", "b.mkv"])
def test_rotation_is_kept_where_the_container_can_say_it(tmp_path, degrees, target):
    path = rotated(tmp_path / "a.mp4", degrees)
    transcode(path, tmp_path / target)
    before, template, *_ = read(path)
    after, copy, *_ = read(tmp_path / target)
    assert before.rotation == after.rotation == degrees
    assert (after.width, after.height) == (64, 48)
    if target == "b.mp4":
        assert copy.display_matrix == template.display_matrix


@pytest.mark.parametrize("degrees", [90, -90, 180])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p"])
def test_elsewhere_the_picture_is_turned_itself(tmp_path, caplog, degrees, pix_fmt):
    path = rotated(tmp_path / "a.mp4", degrees, pix_fmt)
    transcode(path, tmp_path / "b.nut", FFV1)
    _, _, before, _ = read(path)
    info, _, after, _ = read(tmp_path / "b.nut")
    assert info.rotation == 0
    assert (info.width, info.height) == ((64, 48) if degrees == 180 else (48, 64))
    for one, other in zip(before, after, strict=True):
        for plane, turned in zip(one.planes, other.planes, strict=True):
            np.testing.assert_array_equal(np.rot90(plane, degrees // 90), turned)
    assert any("turned by" in record.message for record in caplog.records)


def test_a_quarter_turn_of_422_needs_full_chroma(tmp_path):
    path = rotated(tmp_path / "a.mp4", 90, "yuv422p")
    transcode(path, tmp_path / "b.nut", FFV1)
    _, _, before, _ = read(path)
    info, _, after, _ = read(tmp_path / "b.nut")
    assert (info.width, info.height) == (48, 64)
    np.testing.assert_array_equal(np.rot90(before[3].planes[0]), after[3].planes[0])


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_hdr_light_levels_survive(tmp_path, codec):
    display = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
    path = write_clip(
        tmp_path / "a.mkv",
        codec="libx264",
        pix_fmt="yuv420p10le",
        size=(96, 64),
        options={"x264-params": f"mastering-display={display}:cll=1000,400"},
    )
    _, before, *_ = read(path)
    assert before.hdr is not None
    assert before.hdr.luminance == (Fraction(5, 1000), Fraction(1000))
    transcode(path, tmp_path / "b.mkv", EncodeConfig(codec=codec))
    _, after, *_ = read(tmp_path / "b.mkv")
    assert after.hdr == before.hdr
    assert after.hdr.light_level == (1000, 400)


def test_an_encoder_without_hdr_says_so(tmp_path, caplog):
    path = write_clip(
        tmp_path / "a.mkv", codec="libx264", pix_fmt="yuv420p10le", options={"x264-params": "cll=1000,400"}
    )
    transcode(path, tmp_path / "b.mkv", FFV1)
    assert any("cannot write HDR light levels" in record.message for record in caplog.records)


def test_interlaced_pictures_stay_interlaced(tmp_path):
    path = write_clip(tmp_path / "a.mkv", codec="libx264", options={"x264-params": "tff=1"}, frames=6)
    _, template, *_ = read(path)
    assert template.interlaced
    transcode(path, tmp_path / "b.mkv")
    _, after, frames, _ = read(tmp_path / "b.mkv")
    assert after.interlaced
    assert indices(frames) == list(range(6))


@pytest.mark.parametrize(
    ("size", "stored"), [((1, 1), (2, 2)), ((3, 5), (4, 6)), ((1919, 1079), (1920, 1080))]
)
def test_odd_sizes_are_padded_where_the_encoder_must_have_even_ones(tmp_path, caplog, size, stored):
    planes = random_planes("yuv420p", size)
    path = write_planes(tmp_path / "a.nut", [planes], "yuv420p", codec="rawvideo")
    transcode(path, tmp_path / "b.mkv", EncodeConfig(preset="ultrafast", options={"qp": "0"}))
    info, _, frames, _ = read(tmp_path / "b.mkv")
    assert (info.width, info.height) == stored
    luma = frames[0].planes[0]
    np.testing.assert_array_equal(luma[: size[1], : size[0]], planes[0])
    np.testing.assert_array_equal(luma[: size[1], -1], planes[0][:, -1])
    for plane, same in zip(planes[1:], frames[0].planes[1:], strict=True):
        np.testing.assert_array_equal(plane, same)
    assert any("repeated to" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize(
    ("config", "size"),
    [
        (FFV1, (33, 17)),
        (FFV1, (1, 1)),
        (EncodeConfig(pix_fmt="yuv444p"), (3, 5)),
        (EncodeConfig(codec="libvpx-vp9"), (33, 17)),
    ],
)
def test_odd_sizes_stay_where_they_can(tmp_path, config, size):
    path = write_planes(tmp_path / "a.nut", [random_planes("yuv420p", size)], "yuv420p", codec="rawvideo")
    transcode(path, tmp_path / "b.mkv", config)
    info, *_ = read(tmp_path / "b.mkv")
    assert (info.width, info.height) == size


def test_a_picture_that_changes_size_is_scaled_with_one_warning(tmp_path, caplog):
    parts = [
        write_clip(
            tmp_path / f"{size[0]}.ts",
            size=size,
            codec="libx264",
            frames=8,
            options={"bf": "0"},
            first_index=first,
        )
        for size, first in (((64, 48), 0), ((128, 96), 8))
    ]
    path = join_files(tmp_path / "a.ts", parts)
    transcode(path, tmp_path / "b.nut", FFV1)
    info, _, frames, _ = read(tmp_path / "b.nut")
    assert (info.width, info.height) == (64, 48)
    assert {(f.width, f.height) for f in frames} == {(64, 48)}
    assert len(frames) == 16
    assert sum("scaled to the first size" in r.getMessage() for r in caplog.records) == 1
