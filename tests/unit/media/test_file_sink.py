"""Writing real containers: pixels, instants, other tracks, labels; and that nothing half-written ever shows."""

import os
from fractions import Fraction

import av
import numpy as np
import pytest
from media import (
    FRAME_DURATION_FLAG,
    NTSC,
    indices,
    instants,
    join_files,
    random_planes,
    read_frames,
    to_picture,
    write_clip,
    write_film,
    write_planes,
)

from malle_rt.errors import ConfigError, SinkError
from malle_rt.frame import ColorTags, VideoInfo
from malle_rt.media.compat import can_write_display_matrix
from malle_rt.media.encode_config import EncodeConfig
from malle_rt.media.file_sink import FileSink
from malle_rt.media.file_source import FileSource
from malle_rt.media.synthetic import SyntheticSource
from malle_rt.media.verify import Written, verify_file

# What older PyAV versions cannot make, and so cannot test.
needs_matrix = pytest.mark.skipif(not can_write_display_matrix(), reason="this PyAV writes no display matrix")
needs_chapters = pytest.mark.skipif(
    not hasattr(av.container.Container, "chapters"), reason="this PyAV has no chapters"
)
needs_attachments = pytest.mark.skipif(
    not hasattr(av.container.OutputContainer, "add_attachment"), reason="this PyAV writes no attachments"
)

FFV1 = EncodeConfig(codec="ffv1")
VFR = [0, 1, 2, 9, 10, 30, 31, 32, 60, 61, 62, 100]


def transcode(path, target, config=None, **options):
    """Source to sink without a denoiser; gives the frames of the result and its open template's values."""
    source = FileSource(path)
    try:
        sink = FileSink(target, source, config, **options)
        for item in source:
            sink.write(item)
        sink.finish()
    finally:
        source.close()
    return sink


def read(path):
    source = FileSource(path)
    try:
        return source.info, source.template, *read_frames(source)
    finally:
        source.close()


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le", "yuv444p", "gray"])
def test_ffv1_passes_every_sample_and_instant(tmp_path, pix_fmt):
    path = write_clip(tmp_path / "a.nut", frames=20, pix_fmt=pix_fmt)
    transcode(path, tmp_path / "b.nut", FFV1)
    _, _, before, _ = read(path)
    info, _, after, _ = read(tmp_path / "b.nut")
    assert info.pix_fmt == pix_fmt
    assert indices(after) == list(range(20))
    assert [f.seconds for f in after] == [index / NTSC for index in range(20)]
    for one, other in zip(before, after, strict=True):
        for plane, same in zip(one.planes, other.planes, strict=True):
            np.testing.assert_array_equal(plane, same)


@pytest.mark.parametrize(
    ("codec", "suffix", "unit"),
    [
        ("libx264", "mp4", 0),
        ("libx264", "mkv", Fraction(1, 1000)),
        ("libx265", "mp4", 0),
        ("libvpx-vp9", "webm", Fraction(1, 1000)),
        ("libsvtav1", "mkv", Fraction(1, 1000)),
        ("mpeg4", "mov", 0),
    ],
)
@pytest.mark.parametrize("rate", ["constant", "variable"])
def test_instants_survive_every_encoder(tmp_path, codec, suffix, unit, rate):
    variable = {"pts": VFR, "time_base": Fraction(1, 100)} if rate == "variable" else {}
    path = write_clip(tmp_path / "a.nut", size=(96, 64), **variable)
    target = tmp_path / f"b.{suffix}"
    config = EncodeConfig(codec=codec, options={"bf": "2"} if codec == "libx264" else {})
    sink = transcode(path, target, config)
    expected = [Fraction(pts, 100) for pts in VFR] if variable else [index / NTSC for index in range(12)]
    found = instants(target)
    assert sink.frames == len(found) == 12
    # Matroska stores milliseconds, MP4 the exact unit.
    assert max(abs(a - b) for a, b in zip(found, expected, strict=True)) <= unit / 2
    assert not list(tmp_path.glob(".*partial*"))


@pytest.mark.skipif(not hasattr(av.VideoFrame, "duration"), reason="this PyAV has no frame durations")
def test_the_last_frame_keeps_its_duration(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height = 64, 48
        stream.codec_context.time_base = Fraction(1, 100)
        stream.codec_context.flags |= FRAME_DURATION_FLAG
        for pts, duration in ((0, 4), (4, 50)):
            picture = av.VideoFrame(64, 48, "yuv420p")
            picture.pts, picture.time_base, picture.duration = pts, Fraction(1, 100), duration
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    transcode(path, tmp_path / "b.mp4")
    with av.open(str(tmp_path / "b.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.duration * stream.time_base == Fraction(54, 100)


@needs_chapters
def test_mkv_keeps_tracks_languages_chapters_and_metadata(tmp_path):
    path = write_film(tmp_path / "a.mkv")
    transcode(path, tmp_path / "b.mkv")
    with av.open(str(path)) as before, av.open(str(tmp_path / "b.mkv")) as after:
        assert [s.type for s in after.streams] == [s.type for s in before.streams]
        assert [s.language for s in after.streams.audio] == ["deu", "fra"]
        assert {s.type: int(s.disposition) for s in after.streams} == {
            s.type: int(s.disposition) for s in before.streams
        }
        assert after.metadata["title"] == "A film"
        assert after.streams.video[0].metadata["title"] == "main picture"
        assert [c["metadata"]["title"] for c in after.chapters()] == ["one", "two"]
        assert [c["start"] * c["time_base"] for c in after.chapters()] == [0, Fraction(2, 5)]
    for kind, number in (("audio", 0), ("audio", 1), ("subtitles", 0)):
        assert instants(tmp_path / "b.mkv", kind, number) == instants(path, kind, number)


def test_copied_packets_are_the_same_bytes(tmp_path):
    path = write_film(tmp_path / "a.mkv")
    transcode(path, tmp_path / "b.mkv")

    def sound(file):
        with av.open(str(file)) as container:
            return [bytes(packet) for packet in container.demux(container.streams.audio[0]) if packet.size]

    assert sound(tmp_path / "b.mkv") == sound(path)
    assert len(sound(path)) > 40


@needs_chapters
def test_mp4_leaves_out_what_it_cannot_hold_and_says_so(tmp_path, caplog):
    path = write_film(tmp_path / "a.mkv")
    transcode(path, tmp_path / "b.mp4")
    with av.open(str(tmp_path / "b.mp4")) as after:
        assert len(after.streams.audio) == 2
        assert not after.streams.subtitles
        assert len(after.chapters()) == 2
    warnings = [r.getMessage() for r in caplog.records if "left out" in r.getMessage()]
    assert len(warnings) == 1
    assert "track 3, subtitle (subrip)" in warnings[0].replace("(srt)", "(subrip)")
    assert ".mkv files can" in warnings[0]


@needs_attachments
def test_fonts_travel_with_a_matroska_file(tmp_path):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height = 64, 48
        container.add_attachment("a.ttf", "application/x-truetype-font", b"not really a font")
        for frame in SyntheticSource(3, (64, 48), Fraction(25)):
            container.mux(stream.encode(to_picture(frame)))
        container.mux(stream.encode())
    transcode(path, tmp_path / "b.mkv")
    with av.open(str(tmp_path / "b.mkv")) as after:
        attached = after.streams.attachments[0]
        assert (attached.data, attached.mimetype) == (b"not really a font", "application/x-truetype-font")
        assert attached.metadata["filename"] == "a.ttf"


@needs_attachments
@pytest.mark.parametrize("target", ["b.mp4", "b.mkv"])
def test_a_cover_picture_stays_one(tmp_path, target):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt, cover.disposition = 128, 96, "yuvj420p", 1 << 10
        video = container.add_stream("libx264", rate=25)
        video.width, video.height = 64, 48
        picture = cover.encode(to_picture(SyntheticSource(1, (128, 96)).clean(0)))
        container.mux(picture)
        for frame in SyntheticSource(5, (64, 48), Fraction(25)):
            container.mux(video.encode(to_picture(frame)))
        container.mux(video.encode())
    for step in (tmp_path / target, tmp_path / f"again-{target}"):
        transcode(path, step)
        info, _, frames, _ = read(step)
        assert (info.width, len(frames)) == (64, 5)
        with av.open(str(step)) as after:
            covers = [s for s in after.streams.video if int(s.disposition) & 1 << 10]
            assert [s.codec_context.name for s in covers] == ["mjpeg"]
            data = [bytes(packet) for packet in after.demux(covers[0]) if packet.size]
        assert data == [bytes(picture[0])]
        path = step


@needs_chapters
def test_chapters_follow_the_part_that_is_kept(tmp_path):
    path = write_film(tmp_path / "a.mkv", frames=50)
    source = FileSource(path, start=Fraction(1), duration=Fraction(1, 2))
    sink = FileSink(tmp_path / "b.mkv", source)
    for item in source:
        sink.write(item)
    sink.finish()
    source.close()
    with av.open(str(tmp_path / "b.mkv")) as after:
        (chapter,) = after.chapters()
        assert chapter["metadata"]["title"] == "two"
        assert chapter["start"] == 0
        assert chapter["end"] * chapter["time_base"] == 1


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


@needs_matrix
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


@needs_matrix
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


@needs_matrix
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


def test_broadcast_clocks_begin_at_zero_in_mp4_and_stay_in_ts(tmp_path):
    path = write_clip(
        tmp_path / "a.ts",
        codec="libx264",
        pts=[900_000 + 3600 * i for i in range(12)],
        time_base=Fraction(1, 90_000),
        options={"bf": "0"},
    )
    start = instants(path)[0]
    assert start >= 10
    transcode(path, tmp_path / "b.mp4")
    transcode(path, tmp_path / "b.ts", EncodeConfig(options={"bf": "0"}))
    assert instants(tmp_path / "b.mp4") == [t - start for t in instants(path)]
    assert instants(tmp_path / "b.ts")[0] >= 10


def test_a_bare_video_needs_no_file(tmp_path):
    source = SyntheticSource(10, (64, 48), Fraction(25))
    sink = FileSink(tmp_path / "a.nut", source, FFV1)
    for frame in source:
        sink.write(frame)
    sink.finish()
    _, _, frames, _ = read(tmp_path / "a.nut")
    assert indices(frames) == list(range(10))
    for frame, made in zip(frames, source, strict=True):
        np.testing.assert_array_equal(frame.planes[2], made.planes[2])


def test_the_target_appears_only_at_the_end(tmp_path):
    target = tmp_path / "b.mkv"
    target.write_bytes(b"precious")
    source = SyntheticSource(5, (64, 48))
    sink = FileSink(target, source, overwrite=True)
    for frame in source:
        sink.write(frame)
    assert target.read_bytes() == b"precious"
    sink.finish()
    _, _, frames, _ = read(target)
    assert len(frames) == 5


def test_abort_leaves_nothing_and_spares_the_target(tmp_path):
    target = tmp_path / "b.mkv"
    target.write_bytes(b"precious")
    sink = FileSink(target, SyntheticSource(5, (64, 48)), overwrite=True)
    sink.write(SyntheticSource(5, (64, 48)).clean(0))
    sink.abort()
    sink.abort()
    assert target.read_bytes() == b"precious"
    assert [entry.name for entry in tmp_path.iterdir()] == ["b.mkv"]
    with pytest.raises(SinkError, match="already finished or given up"):
        sink.finish()


def test_no_frame_no_file(tmp_path):
    sink = FileSink(tmp_path / "b.mkv", SyntheticSource(5, (64, 48)))
    with pytest.raises(SinkError, match="no frame was written"):
        sink.finish()
    assert [entry.name for entry in tmp_path.iterdir()] == []


def test_an_existing_file_is_refused(tmp_path):
    path = write_clip(tmp_path / "a.nut")
    with pytest.raises(SinkError, match=r"exists already.*--overwrite"):
        FileSink(path, SyntheticSource(5, (64, 48)))


@pytest.mark.parametrize("link", ["same", "hard", "symbolic", "dotted"])
def test_the_input_is_never_replaced(tmp_path, link):
    path = write_clip(tmp_path / "a.nut")
    target = {
        "same": path,
        "hard": tmp_path / "hard.nut",
        "symbolic": tmp_path / "sym.nut",
        "dotted": tmp_path / ".." / tmp_path.name / "a.nut",
    }[link]
    if link == "hard":
        os.link(path, target)
    if link == "symbolic":
        target.symlink_to(path)
    source = FileSource(path)
    try:
        with pytest.raises(SinkError, match="this is the input itself"):
            FileSink(target, source, FFV1, overwrite=True)
    finally:
        source.close()
    assert len(read(path)[2]) == 12


@pytest.mark.parametrize(("target", "message"), [("none/b.mkv", "no folder"), (".", "this is a folder")])
def test_says_what_is_wrong_with_the_place(tmp_path, target, message):
    with pytest.raises(SinkError, match=message):
        FileSink(tmp_path / target, SyntheticSource(5, (64, 48)))


@pytest.mark.parametrize(
    ("target", "config", "message"),
    [
        ("b.xyz", {}, r"no container format is known by the extension '.xyz'. Use .mkv"),
        ("b.webm", {}, r"a webm file cannot hold libx264 video. Use .mkv"),
        ("b.mkv", {"options": {"x264-parms": "a"}}, r"encoder libx264 has no option x264-parms"),
        ("b.mkv", {"preset": "warp"}, r"encoder libx264 refuses 64x48 yuv420p with .*preset=warp"),
    ],
)
def test_says_what_does_not_fit_together(tmp_path, target, config, message):
    with pytest.raises(ConfigError, match=message):
        FileSink(tmp_path / target, SyntheticSource(5, (64, 48)), EncodeConfig(**config))
    assert [entry.name for entry in tmp_path.iterdir()] == []


def test_verification_finds_missing_frames(tmp_path):
    path = write_clip(tmp_path / "a.mkv", frames=10, fps=Fraction(25))
    step = Fraction(1, 25)
    verify_file(path, path, 0, Written(10, Fraction(0), 9 * step, step))
    with pytest.raises(SinkError, match="wrote 11 frames, but the file holds 10"):
        verify_file(path, path, 0, Written(11, Fraction(0), 9 * step, step))
    with pytest.raises(SinkError, match=r"frames span 0.440 s, but 0.360 s in the file"):
        verify_file(path, path, 0, Written(10, Fraction(0), 11 * step, step))
    path.write_bytes(b"")
    with pytest.raises(SinkError, match="cannot be read back"):
        verify_file(path, path, 0, Written(10, Fraction(0), 9 * step, step))


def test_a_full_disk_is_named_and_nothing_is_left(small_disk):
    source = SyntheticSource(60, (320, 240), noise_sigma=40)
    with pytest.raises(SinkError, match="the disk is full"):
        sink = FileSink(small_disk / "b.mkv", source, FFV1)
        try:
            for frame in source:
                sink.write(frame)
            sink.finish()
        except SinkError:
            sink.abort()
            raise
    assert [entry.name for entry in small_disk.iterdir()] == []


def test_an_unknown_rate_is_not_invented(tmp_path):
    source = SyntheticSource(4, (64, 48), Fraction(10))
    info = VideoInfo(64, 48, "yuv420p", Fraction(1, 10))
    for name in ("b.mp4", "b.mkv"):
        sink = FileSink(tmp_path / name, info)
        for frame in source:
            sink.write(frame)
        sink.finish()
        assert instants(tmp_path / name) == [Fraction(index, 10) for index in range(4)]
        # What the reader makes of the instants, since the header says nothing (before PyAV 18 Matroska's says 24).
        if name == "b.mp4" or int(av.__version__.split(".")[0]) >= 18:
            assert read(tmp_path / name)[0].frame_rate == 10
