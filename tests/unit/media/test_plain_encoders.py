"""Encoders with a few rates, RGB in MP4, data tracks, play lists: what opens, what is said, what is read."""

import os
import socket
from contextlib import suppress
from fractions import Fraction

import av
import pytest

from malle_rt import denoise_video
from malle_rt.api import Transcode, TranscodeOptions
from malle_rt.config import DenoiseConfig
from malle_rt.errors import MalleError, SourceError
from malle_rt.media.encode_config import EncodeConfig
from malle_rt.media.file_source import FileSource
from tests.media import instants, random_planes, write_clip, write_film, write_planes

PLAIN = DenoiseConfig(backend="none")


@pytest.mark.parametrize("codec", ["mpeg1video", "mpeg2video", "mpeg4", "mjpeg"])
@pytest.mark.parametrize(
    ("fps", "time_base"),
    [(Fraction(25), None), (Fraction(30000, 1001), Fraction(1, 90000)), (Fraction(17), Fraction(1, 100000))],
)
def test_plain_encoders_open_and_keep_every_frame_in_its_place(tmp_path, codec, fps, time_base):
    pts = None if time_base is None else [round(index / fps / time_base) for index in range(12)]
    path = write_clip(tmp_path / "in.nut", fps=fps, time_base=time_base, pts=pts)
    denoise_video(path, tmp_path / "out.mkv", config=PLAIN, encode=EncodeConfig(codec=codec))
    before, after = instants(path), instants(tmp_path / "out.mkv")
    assert len(after) == 12
    assert max(abs((a - after[0]) - (b - before[0])) for a, b in zip(after, before, strict=True)) < 1 / fps


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.ogv", "vp8"),
        ("a.OGG", "vp8"),
        ("a.ivf", "av1"),
        ("a.apng", "apng"),
        ("a.m2v", "mpeg2video"),
        ("a.mpg", "mpeg2video"),
        ("a.vob", "mpeg2video"),
    ]
    + [(f"a.{kind}", "h264") for kind in ("avi", "ts", "flv", "wmv", "mxf", "3gp", "m4v", "nut")],
)
def test_a_name_alone_gives_a_codec_that_the_container_holds(tmp_path, name, codec):
    path = write_clip(tmp_path / "in.nut", fps=Fraction(30000, 1001))
    denoise_video(path, tmp_path / name, config=PLAIN)
    with av.open(str(tmp_path / name)) as container:
        assert container.streams.video[0].codec_context.codec.canonical_name == codec
        assert len(list(container.decode(video=0))) == 12


def test_what_takes_more_bits_is_named_with_how_many(tmp_path, caplog):
    pictures = [random_planes("yuv420p12le", (64, 48), seed) for seed in range(3)]
    write_planes(tmp_path / "in.mkv", pictures, "yuv420p12le", codec="ffv1")
    denoise_video(tmp_path / "in.mkv", tmp_path / "out.mkv", config=PLAIN)
    said = [record.getMessage() for record in caplog.records if "bits a sample" in record.getMessage()]
    assert len(said) == 1
    assert "10 of 12 bits a sample. Others keep more: " in said[0]
    assert "libx264" not in said[0].partition("more")[2]
    assert "ffv1 12" in said[0]


def test_a_bit_rate_asked_for_is_not_a_fixed_quantiser():
    assert "global_quality" in EncodeConfig(codec="mpeg2video").encoder_options()
    assert "global_quality" not in EncodeConfig(codec="mpeg2video", options={"b": "2M"}).encoder_options()


@pytest.mark.parametrize(("asked", "given"), [(None, "yuv420p"), ("yuv444p", "yuv444p")])
def test_rgb_in_mp4_plays_everywhere_unless_asked_otherwise(tmp_path, asked, given, caplog):

    pictures = [random_planes("yuv444p", (64, 48), seed) for seed in range(3)]
    write_planes(tmp_path / "in.mkv", pictures, "yuv444p", codec="ffv1", encode_as="bgr0")
    denoise_video(tmp_path / "in.mkv", tmp_path / "out.mp4", config=PLAIN, encode=EncodeConfig(pix_fmt=asked))
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].codec_context.pix_fmt == given
    assert any("plays everywhere" in record.message for record in caplog.records) == (asked is None)


def write_variant(folder, name, size):
    path = write_clip(folder / f"{name}.ts", codec="mpeg2video", size=size, frames=12, fps=Fraction(25))
    (folder / f"{name}.m3u8").write_text(
        f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-VERSION:3\n#EXTINF:0.48,\n{path.name}\n#EXT-X-ENDLIST\n"
    )


def test_of_a_play_list_with_variants_the_best_is_taken(tmp_path):
    write_variant(tmp_path, "small", (64, 48))
    write_variant(tmp_path, "large", (128, 96))
    master = tmp_path / "master.m3u8"
    master.write_text(
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000\nsmall.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=2000\nlarge.m3u8\n"
    )
    denoise_video(master, tmp_path / "out.mkv", config=PLAIN)
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert [stream.codec_context.width for stream in container.streams.video] == [128]


def test_of_variants_with_the_same_rate_only_one_brings_its_sound(tmp_path):
    entries = ""
    for name in ("a", "b"):
        path = write_film(tmp_path / f"{name}.ts", frames=15)
        (tmp_path / f"{name}.m3u8").write_text(
            f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:0.6,\n{path.name}\n#EXT-X-ENDLIST\n"
        )
        entries += f"#EXT-X-STREAM-INF:BANDWIDTH=1000\n{name}.m3u8\n"
    (tmp_path / "master.m3u8").write_text(f"#EXTM3U\n{entries}")
    denoise_video(tmp_path / "master.m3u8", tmp_path / "out.mkv", config=PLAIN)
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio", "audio"]


def test_a_local_play_list_cannot_reach_the_network(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        address = "http://{}:{}/a.ts".format(*server.getsockname())
        path = tmp_path / "list.m3u8"
        path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{address}\n#EXT-X-ENDLIST\n")
        with pytest.raises(SourceError):
            FileSource(path)
        with pytest.raises(TimeoutError):
            server.accept()


def test_times_of_the_source_are_kept_when_asked_for(tmp_path):
    path = write_clip(tmp_path / "in.mkv", frames=2)
    os.utime(path, (1_241_593_689, 1_241_593_690))
    for keep in (True, False):
        output = tmp_path / f"{keep}.mkv"
        with Transcode(path, output, TranscodeOptions(config=PLAIN, keep_times=keep)) as job:
            job.run()
        assert (output.stat().st_mtime == 1_241_593_690) == keep


def test_an_opaque_output_does_not_say_that_it_is_transparent(tmp_path):
    path = write_clip(
        tmp_path / "in.webm",
        frames=2,
        codec="libvpx",
        time_base=Fraction(1, 1000),
        pts=[0, 40],
        setup=lambda stream: stream.metadata.update({"alpha_mode": "1"}),
    )
    denoise_video(path, tmp_path / "out.webm", config=PLAIN)
    for file, tagged in ((path, True), (tmp_path / "out.webm", False)):
        with av.open(str(file)) as container:
            tags = {key.lower() for key in container.streams.video[0].metadata}
            assert ("alpha_mode" in tags) == tagged


def test_y4m_says_that_it_has_one_rate_only(tmp_path, caplog):
    path = write_clip(
        tmp_path / "in.nut", frames=4, fps=Fraction(25), time_base=Fraction(1, 1000), pts=[0, 40, 80, 400]
    )
    with suppress(MalleError):  # it is shorter than its frames say
        denoise_video(path, tmp_path / "out.y4m", config=PLAIN)
    assert any("the frame rate changes" in record.message for record in caplog.records)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le"])
def test_y4m_is_what_it_says_without_a_codec_being_named(tmp_path, pix_fmt):
    path = write_clip(
        tmp_path / "in.nut",
        frames=6,
        fps=Fraction(25),
        pix_fmt=pix_fmt,
        time_base=Fraction(1, 12800),
        pts=[512 * index for index in range(6)],
    )
    denoise_video(path, tmp_path / "out.y4m", config=PLAIN)
    with av.open(str(path)) as before, av.open(str(tmp_path / "out.y4m")) as after:
        assert after.streams.video[0].average_rate == 25
        pairs = list(zip(before.decode(video=0), after.decode(video=0), strict=True))
    assert all(bytes(a.to_ndarray()) == bytes(b.to_ndarray()) for a, b in pairs)
