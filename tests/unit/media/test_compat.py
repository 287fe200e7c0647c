"""Numbers and texts that PyAV has no name for do not end a run."""

import struct
from fractions import Fraction

import av
import pytest
from av.codec.context import ThreadType
from av.format import Flags
from av.sidedata.sidedata import Type
from av.stream import Disposition
from av.video.frame import PictureType

from malle_rt import denoise_video
from malle_rt.config import DenoiseConfig
from malle_rt.media.compat import side_data_bytes
from tests.media import write_clip

PLAIN = DenoiseConfig(backend="none")


@pytest.mark.parametrize("kind", [Type, PictureType, Disposition, Flags, ThreadType])
def test_a_number_without_a_name_is_a_member_of_its_own(kind):
    value = 1 << 29
    assert kind(value).value == value
    assert kind(value) == kind(value)
    if kind is not Disposition:
        assert kind(value) is kind(value)
    with pytest.raises((ValueError, TypeError)):
        kind("no number")


def test_combined_flags_stay_flags():

    assert Flags(Flags.no_file.value | Flags.ts_discont.value) & Flags.no_file


def exif_jpeg(path):
    """Two JPEG frames in an AVI, each with an EXIF block that says "turn by 90 degrees"."""
    write_clip(path, codec="mjpeg", pix_fmt="yuvj420p", frames=2, fps=Fraction(25))
    entry = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)  # orientation, SHORT, one value: 6
    body = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 1) + entry + struct.pack("<I", 0)
    marker = b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body
    with av.open(str(path)) as source:
        packets = [bytes(packet) for packet in source.demux() if packet.size]
    target = path.with_name("exif.avi")
    with av.open(str(target), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for index, data in enumerate(packets):
            packet = av.Packet(data[:2] + marker + data[2:])
            packet.stream, packet.time_base = stream, Fraction(1, 25)
            packet.pts = packet.dts = index
            packet.is_keyframe = True
            container.mux(packet)
    return target


def test_an_exif_orientation_in_jpeg_frames_is_kept(tmp_path):
    source = exif_jpeg(tmp_path / "plain.avi")
    with av.open(str(source)) as container:
        picture = next(container.decode(video=0))
        assert len(side_data_bytes(picture, "DISPLAYMATRIX")) == 36
    denoise_video(source, tmp_path / "out.mp4", config=PLAIN)
    with av.open(str(tmp_path / "out.mp4")) as container:
        picture = next(container.decode(video=0))
        assert abs(picture.rotation) == 90


def test_a_latin1_title_of_a_cover_picture_does_not_end_the_run(tmp_path):
    path, jpeg = tmp_path / "in.mkv", tmp_path / "cover.mjpeg"
    write_clip(jpeg, codec="mjpeg", pix_fmt="yuvj420p", frames=1, fps=Fraction(25))
    with av.open(str(jpeg)) as picture:
        cover = next(bytes(p) for p in picture.demux() if p.size)
    with av.open(str(path), "w") as container:
        video = container.add_stream("ffv1", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.metadata["title"] = "ABCDEFGH"
        container.add_attachment("cover.jpg", "image/jpeg", cover)
        frame = av.VideoFrame(64, 48, "yuv420p")
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        container.mux(video.encode(frame))
        container.mux(video.encode())
    path.write_bytes(path.read_bytes().replace(b"ABCDEFGH", b"caf\xe9 \xe9\xe9\xe9"))
    denoise_video(path, tmp_path / "out.mkv", config=PLAIN)
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert len(container.streams.video) == 2
