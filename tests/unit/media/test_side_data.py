"""What pictures carry beside their pixels."""

import gc
import struct
from fractions import Fraction

import av
import numpy as np
import pytest
from helpers.two_layers import write_two_layers
from media import write_clip, write_film

from malle_rt import EncodeConfig, denoise_video
from malle_rt.config import DenoiseConfig
from malle_rt.live.capture.device import CaptureRequest
from malle_rt.live.capture.source import open_capture
from malle_rt.media.compat import side_data_bytes
from malle_rt.media.interlacing import FieldMarker
from malle_rt.media.matroska_crop import matroska_crop
from malle_rt.media.mp4_boxes import PictureBoxes, clean_aperture, insert_boxes, picture_boxes

PLAIN = DenoiseConfig(strength=0)
RATE = Fraction(25)
FRAMES, FIRST = 12, 5
INTERLACED = 1 << 18 | 1 << 29


def caption(index):
    """CEA-608 bytes of one picture."""
    return bytes([0xFC, 0x80 | index, 0x80 | (3 * index & 0x7F)])


def write_captioned(path, size=(64, 48), pix_fmt="yuv420p", interlaced=False):
    """MPEG-2 whose pictures have captions from ``FIRST`` on."""
    marker = FieldMarker()
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg2video", rate=RATE)
        video.width, video.height, video.pix_fmt = *size, pix_fmt
        video.codec_context.flags |= INTERLACED if interlaced else 0

        def mux(packets):
            for packet in packets:
                data, index = bytes(packet), round(packet.pts * packet.time_base * RATE)
                if index >= FIRST:  # as user data, before the first slice
                    head, slice_, rest = data.partition(b"\0\0\1\1")
                    user = b"\0\0\1\xb2GA94\3\x41\xff" + caption(index) + b"\xff"
                    captioned = av.Packet(head + user + slice_ + rest)
                    captioned.pts, captioned.dts, captioned.time_base = (
                        packet.pts,
                        packet.dts,
                        packet.time_base,
                    )
                    captioned.stream, captioned.is_keyframe = video, packet.is_keyframe
                    packet = captioned
                container.mux(packet)

        for index in range(FRAMES):
            gray = np.full((size[1], size[0]), 20 * index, np.uint8)
            picture = av.VideoFrame.from_ndarray(gray, format="gray").reformat(format=pix_fmt)
            picture = marker.marked(picture, "top") if interlaced else picture
            picture.pts, picture.time_base = index, 1 / RATE
            mux(video.encode(picture))
        mux(video.encode())
    return path


def pictures_of(path):
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def captions_of(path):
    return [side_data_bytes(picture, "A53_CC") for picture in pictures_of(path)]


EXPECTED = [b""] * FIRST + [caption(index) for index in range(FIRST, FRAMES)]


@pytest.mark.parametrize(
    "encode",
    [
        EncodeConfig(),
        EncodeConfig(codec="libx265"),
        EncodeConfig(codec="mpeg2video"),
        EncodeConfig(pix_fmt="yuv422p10le"),
        EncodeConfig(pix_fmt="nv12"),
    ],
    ids=lambda encode: f"{encode.codec}-{encode.pix_fmt}",
)
def test_captions_that_begin_late_are_kept(tmp_path, encode, caplog):
    path = write_captioned(tmp_path / "in.ts")
    assert captions_of(path) == EXPECTED
    denoise_video(path, tmp_path / "out.mkv", config=PLAIN, encode=encode)
    assert captions_of(tmp_path / "out.mkv") == EXPECTED
    for index, picture in enumerate(pictures_of(tmp_path / "out.mkv")):  # each with its own pixels
        luma = picture.to_ndarray(format="gray").mean()
        assert abs(luma - 20 * index) < 3
    assert not [record for record in caplog.records if "captions" in record.message]


def test_captions_stay_with_pictures_that_are_padded(tmp_path):
    path = write_captioned(tmp_path / "in.ts", size=(63, 47))
    denoise_video(path, tmp_path / "out.mkv", config=PLAIN)
    assert captions_of(tmp_path / "out.mkv") == EXPECTED
    assert {(picture.width, picture.height) for picture in pictures_of(tmp_path / "out.mkv")} == {(64, 48)}


@pytest.mark.parametrize(("deinterlace", "nothing"), [(None, 0), ("frame", 0), ("field", 1)])
def test_captions_of_interlaced_video_come_once(tmp_path, deinterlace, nothing):
    path = write_captioned(tmp_path / "in.ts", interlaced=True)
    denoise_video(path, tmp_path / "out.mkv", config=PLAIN, deinterlace=deinterlace)
    found = captions_of(tmp_path / "out.mkv")
    assert found == [each for caption_ in EXPECTED for each in (caption_, *[b""] * nothing)]


def test_captions_stay_with_the_denoised_pixels(tmp_path):
    path = write_captioned(tmp_path / "in.ts")
    denoise_video(path, tmp_path / "out.mkv", config=DenoiseConfig(strength=5))
    assert captions_of(tmp_path / "out.mkv") == EXPECTED


def test_live_captions_are_said_once(tmp_path, caplog):
    capture = open_capture(CaptureRequest(device=str(write_captioned(tmp_path / "in.ts"))))
    shots = list(capture)
    capture.close()
    assert len(shots) == FRAMES
    assert sum("captions" in record.message for record in caplog.records) == 1


def test_an_encoder_that_cannot_write_captions_says_so_once(tmp_path, caplog):
    path = write_captioned(tmp_path / "in.ts")
    denoise_video(path, tmp_path / "out.mkv", config=PLAIN, encode=EncodeConfig(codec="ffv1"))
    said = [record.message for record in caplog.records if "captions" in record.message]
    assert len(said) == 1
    assert "closed captions begin at 0.2 s" in said[0]


def test_looking_at_side_data_does_not_keep_the_picture():
    gc.collect()
    gc.disable()
    try:
        for _ in range(5):
            side_data_bytes(av.VideoFrame(66, 34, "yuv420p"), "A53_CC")
        frames = (each for each in gc.get_objects() if isinstance(each, av.VideoFrame))
        assert not [each for each in frames if (each.width, each.height) == (66, 34)]
    finally:
        gc.enable()


CLAP = struct.pack(">I4s8I", 40, b"clap", 56, 1, 40, 1, 0, 1, 0, 1)  # 56x40 of 64x48
SPHERE = (
    b'<?xml version="1.0"?><rdf:SphericalVideo xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
    b'xmlns:GSpherical="http://ns.google.com/videos/1.0/spherical/"><GSpherical:Spherical>true</GSpherical:Spherical>'
    b"<GSpherical:Stitched>true</GSpherical:Stitched><GSpherical:StitchingSoftware>x</GSpherical:StitchingSoftware>"
    b"<GSpherical:ProjectionType>equirectangular</GSpherical:ProjectionType></rdf:SphericalVideo>"
)
UUID = bytes.fromhex("ffcc8263f8554a938814587a02521fdd")
BOXES = PictureBoxes(track=struct.pack(">I4s", 24 + len(SPHERE), b"uuid") + UUID + SPHERE, description=CLAP)


@pytest.fixture
def shaped(tmp_path):
    """A sphere of which a part is to be shown, and a sound track before it, so that its number is not 1."""
    path = tmp_path / "in.mp4"
    with av.open(str(path), "w") as container:
        audio = container.add_stream("aac", rate=48000)
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        silence = av.AudioFrame("fltp", "stereo", 1024)
        for plane in silence.planes:
            plane.update(bytes(plane.buffer_size))
        silence.sample_rate, silence.pts = 48000, 0
        container.mux([*audio.encode(silence), *audio.encode()])
        for _ in range(3):
            container.mux(video.encode(av.VideoFrame(64, 48, "yuv420p")))
        container.mux(video.encode())
    assert insert_boxes(path, 2, BOXES)
    assert side_data_bytes(pictures_of(path)[0], "SPHERICAL")
    return path


@pytest.mark.parametrize("name", ["out.mp4", "out.mov", "out.m4v"])
def test_spheres_and_clean_apertures_are_kept(shaped, tmp_path, name, caplog):
    denoise_video(shaped, tmp_path / name, config=PLAIN)
    assert picture_boxes(tmp_path / name, 2) == BOXES
    assert side_data_bytes(pictures_of(tmp_path / name)[0], "SPHERICAL")
    with av.open(str(tmp_path / name)) as container:
        assert [stream.type for stream in container.streams] == ["audio", "video"]
    assert not caplog.records


def test_another_container_says_what_it_does_not_keep(shaped, tmp_path, caplog):
    denoise_video(shaped, tmp_path / "out.mkv", config=PLAIN)
    said = [record.message for record in caplog.records]
    assert len(said) == 2
    assert "clean aperture" in said[0]
    assert "sphere" in said[1]


def test_a_clean_aperture_of_another_size_is_not_kept(tmp_path, caplog):
    path = write_clip(tmp_path / "in.mp4", size=(63, 47), codec="libx264", pix_fmt="yuv444p", frames=3)
    assert insert_boxes(path, 1, PictureBoxes(description=CLAP))
    encode = EncodeConfig(pix_fmt="yuv420p")
    denoise_video(path, tmp_path / "out.mp4", config=PLAIN, encode=encode)
    assert not picture_boxes(tmp_path / "out.mp4", 1).clean_aperture
    assert any("clean aperture" in record.message for record in caplog.records)


def test_a_clean_aperture_of_the_whole_picture_says_nothing(tmp_path):
    path = write_clip(tmp_path / "in.mp4", codec="libx264", frames=3)
    whole = struct.pack(">I4s8I", 40, b"clap", 64, 1, 48, 1, 0, 1, 0, 1)
    assert insert_boxes(path, 1, PictureBoxes(description=whole))
    assert picture_boxes(path, 1).empty


def cropped(path, *crop):
    """A Matroska file with a sound track and a crop of its pictures, which FFmpeg makes of a clean aperture."""
    source = path.with_suffix(".mp4")
    write_film(source, frames=5)
    with av.open(str(source)) as container:
        number, track = container.streams.video[0].id, container.streams.video[0].index
        assert insert_boxes(source, number, PictureBoxes(description=clean_aperture((64, 48), *crop)))
    with av.open(str(source)) as container, av.open(str(path), "w") as target:
        kept = [stream for stream in container.streams if stream.type in ("video", "audio")]
        tracks = {stream.index: target.add_stream_from_template(stream) for stream in kept}
        for packet in container.demux(kept):
            if packet.size:
                packet.stream = tracks[packet.stream.index]
                target.mux(packet)
    return path, list(tracks).index(track)


def test_a_crop_of_matroska_is_kept_in_mp4_and_said_elsewhere(tmp_path, caplog):
    path, track = cropped(tmp_path / "in.mkv", 2, 4, 6, 8)
    assert matroska_crop(path, track) == (2, 4, 6, 8)
    assert matroska_crop(path, 1 - track) is None
    denoise_video(path, tmp_path / "out.mp4", config=PLAIN)
    with av.open(str(tmp_path / "out.mp4")) as container:
        number = container.streams.video[0].id
    assert picture_boxes(tmp_path / "out.mp4", number).description == clean_aperture((64, 48), 2, 4, 6, 8)
    assert not any("part of the picture" in said for said in caplog.messages)
    denoise_video(path, tmp_path / "out.mkv", config=PLAIN)
    assert sum("part of the picture" in said for said in caplog.messages) == 1
    denoise_video(tmp_path / "out.mkv", tmp_path / "again.mkv", config=PLAIN)
    assert sum("part of the picture" in said for said in caplog.messages) == 1


def test_a_damaged_matroska_file_breaks_nothing(tmp_path):
    data = cropped(tmp_path / "in.mkv", 2, 4, 6, 8)[0].read_bytes()
    broken = tmp_path / "broken.mkv"
    for length in range(0, 900, 7):
        broken.write_bytes(data[:length])
        matroska_crop(broken, 1)
    for place in range(0, 900, 3):
        broken.write_bytes(data[:place] + bytes([data[place] ^ 0x5A]) + data[place + 1 :])
        matroska_crop(broken, 1)


def test_a_damaged_index_gives_no_boxes(shaped, tmp_path):
    data = shaped.read_bytes()
    for broken in (data[:-300], data.replace(b"stsd", b"xxxx"), b"\0\0\0\1moov", b"", b"\0" * 64):
        (tmp_path / "broken.mp4").write_bytes(broken)
        assert picture_boxes(tmp_path / "broken.mp4", 7) == PictureBoxes()
        assert isinstance(picture_boxes(tmp_path / "broken.mp4", 2), PictureBoxes)


@pytest.mark.parametrize(
    ("name", "codec"), [("out.mp4", "libx264"), ("out.mkv", "libx264"), ("out.mkv", "ffv1")]
)
def test_two_views_in_one_picture_stay_two(tmp_path, name, codec, caplog):
    path = write_clip(
        tmp_path / "in.mkv", codec="libx264", options={"x264-params": "frame-packing=4"}, frames=3
    )
    denoise_video(path, tmp_path / name, config=PLAIN, encode=EncodeConfig(codec=codec))
    for file in (path, tmp_path / name):
        assert (
            struct.unpack_from("i", side_data_bytes(pictures_of(file)[0], "STEREO3D"))[0] == 2
        )  # top and bottom
    assert not caplog.records


def test_two_views_that_cannot_be_told_are_said(tmp_path, caplog):
    path = write_clip(
        tmp_path / "in.mkv", codec="libx264", options={"x264-params": "frame-packing=3"}, frames=3
    )
    denoise_video(path, tmp_path / "out.mp4", config=PLAIN, encode=EncodeConfig(codec="libx265"))
    assert any("two views (3D, side by side)" in record.message for record in caplog.records)


def test_a_stereo_clip_of_a_phone_keeps_its_first_view_and_says_so(tmp_path, caplog):
    path = write_two_layers(tmp_path / "in.mov")
    for picture in pictures_of(path):
        assert side_data_bytes(picture, "VIEW_ID")  # which PyAV before 19 has no name for
    denoise_video(path, tmp_path / "out.mp4", config=DenoiseConfig(strength=5, backend="torch"))
    assert len(pictures_of(tmp_path / "out.mp4")) == 6
    assert sum("holds two views (3D), of which the first one" in each for each in caplog.messages) == 1
