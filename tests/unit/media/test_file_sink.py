"""Writing real containers: samples, instants, other tracks, chapters, metadata."""

from fractions import Fraction

import av
import numpy as np
import pytest
from helpers.sink import read, transcode
from media import (
    FRAME_DURATION_FLAG,
    NTSC,
    indices,
    instants,
    to_picture,
    write_clip,
    write_film,
)

from malle_rt.frame import VideoInfo
from malle_rt.media.encode_config import EncodeConfig
from malle_rt.media.file_sink import FileSink
from malle_rt.media.file_source import FileSource
from malle_rt.media.synthetic import SyntheticSource

FFV1 = EncodeConfig(codec="ffv1")
VFR = [0, 1, 2, 9, 10, 30, 31, 32, 60, 61, 62, 100]


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


def test_mkv_keeps_tracks_languages_chapters_and_metadata(tmp_path):
    path = write_film(tmp_path / "a.mkv")
    transcode(path, tmp_path / "b.mkv")
    with av.open(str(path)) as before, av.open(str(tmp_path / "b.mkv")) as after:
        assert [s.type for s in after.streams] == [s.type for s in before.streams]
        assert [s.language for s in after.streams.audio] == ["deu", "fra"]
        assert {s.type: s.disposition for s in after.streams} == {
            s.type: s.disposition for s in before.streams
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


def test_mp4_leaves_out_what_it_cannot_hold_and_says_so(tmp_path, caplog):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        container.add_attachment("font.ttf", "font/ttf", b"no font")
        container.mux(video.encode(av.VideoFrame(64, 48, "yuv420p")))
        container.mux(video.encode())
    transcode(path, tmp_path / "b.mp4")
    with av.open(str(tmp_path / "b.mp4")) as after:
        assert len(after.streams) == 1
    warnings = [r.getMessage() for r in caplog.records if "left out" in r.getMessage()]
    assert len(warnings) == 1
    assert "track 1, attachment" in warnings[0]


def test_mp4_gets_all_tracks_of_a_film(tmp_path):
    path = write_film(tmp_path / "a.mkv")
    transcode(path, tmp_path / "b.mp4")
    with av.open(str(tmp_path / "b.mp4")) as after:
        assert (len(after.streams.audio), len(after.streams.subtitles), len(after.chapters())) == (2, 1, 2)


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
            covers = [s for s in after.streams.video if s.disposition & 1 << 10]
            assert [s.codec_context.name for s in covers] == ["mjpeg"]
            assert len(after.streams) == 2  # nothing beside video and cover
            data = [bytes(packet) for packet in after.demux(covers[0]) if packet.size]
        assert data == [bytes(picture[0])]
        path = step


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


@pytest.mark.parametrize("name", ["b.mkv", "b.mp4", "b.nut"])
def test_the_rate_stands_in_the_header(tmp_path, name):
    path = write_clip(tmp_path / "a.nut", fps=Fraction(50))
    transcode(path, tmp_path / name)
    with av.open(str(tmp_path / name)) as container:
        assert container.streams.video[0].average_rate == 50


def test_an_unknown_rate_is_not_invented(tmp_path):
    source = SyntheticSource(4, (64, 48), Fraction(10))
    info = VideoInfo(64, 48, "yuv420p", Fraction(1, 10))
    for name in ("b.mp4", "b.mkv"):
        sink = FileSink(tmp_path / name, info)
        for frame in source:
            sink.write(frame)
        sink.finish()
        assert instants(tmp_path / name) == [Fraction(index, 10) for index in range(4)]
        # What the reader makes of the instants, since the header says nothing (before PyAV 18.1 Matroska's says 24).
        if name == "b.mp4" or tuple(map(int, av.__version__.split(".")[:2])) >= (18, 1):
            assert read(tmp_path / name)[0].frame_rate == 10
