"""Data tracks of MP4 and MOV: telemetry of cameras, timed metadata."""

from fractions import Fraction

import av
import pytest

from malle_rt import denoise_video
from malle_rt.config import DenoiseConfig

PLAIN = DenoiseConfig(strength=0)
SAMPLES = [b"DEVC first", b"DEVC second", b"DEVC third"]


@pytest.fixture
def clip(tmp_path):
    """A clip with telemetry as GoPro writes it, a sample every 80 ms."""
    path = tmp_path / "in.mp4"
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        data = container.add_data_stream("bin_data")  # FFmpeg marks it "gpmd"
        data.time_base = Fraction(1, 1000)
        for _ in range(6):
            container.mux(video.encode(av.VideoFrame(64, 48, "yuv420p")))
        container.mux(video.encode())
        for number, sample in enumerate(SAMPLES):
            packet = av.Packet(sample)
            packet.pts = packet.dts = number * 80
            packet.duration, packet.time_base, packet.stream = 80, Fraction(1, 1000), data
            container.mux(packet)
    assert b"gpmd" in path.read_bytes()
    return path


def data_of(path):
    with av.open(str(path)) as container:
        return [
            (bytes(packet), packet.pts * packet.time_base)
            for packet in container.demux(container.streams.data)
            if packet.size
        ]


@pytest.mark.parametrize("name", ["out.mp4", "out.mov"])
def test_telemetry_is_kept(clip, tmp_path, name, caplog):
    denoise_video(clip, tmp_path / name, config=PLAIN)
    assert data_of(tmp_path / name) == [(s, Fraction(80 * n, 1000)) for n, s in enumerate(SAMPLES)]
    assert b"gpmd" in (tmp_path / name).read_bytes()
    assert not [record for record in caplog.records if "left out" in record.message]


def test_a_container_without_a_place_for_it_says_so_and_which_has_one(clip, tmp_path, caplog):
    denoise_video(clip, tmp_path / "out.mkv", config=PLAIN)
    assert [record.message for record in caplog.records] == [
        "track 1, data (unknown codec), is left out: matroska files cannot hold it; .mov files can"
    ]


@pytest.mark.parametrize("name", ["out.mp4", "out.mov"])
def test_data_that_ffmpeg_cannot_describe_is_said(clip, tmp_path, name, caplog):
    clip.write_bytes(clip.read_bytes().replace(b"gpmd", b"mebx"))
    denoise_video(clip, tmp_path / name, config=PLAIN)
    assert [record.message for record in caplog.records if "cannot write into" in record.message]
    with av.open(str(tmp_path / name)) as container:
        assert [stream.type for stream in container.streams] == ["video"]
