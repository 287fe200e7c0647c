"""What pictures carry beside their pixels."""

import gc
from fractions import Fraction

import av
import numpy as np
import pytest

from malle_rt import EncodeConfig, denoise_video
from malle_rt.config import DenoiseConfig
from malle_rt.media.compat import side_data_bytes

PLAIN = DenoiseConfig(strength=0)
RATE = Fraction(25)
FRAMES, FIRST = 12, 5


def caption(index):
    """CEA-608 bytes of one picture."""
    return bytes([0xFC, 0x80 | index, 0x80 | (3 * index & 0x7F)])


def write_captioned(path, size=(64, 48), pix_fmt="yuv420p"):
    """MPEG-2 whose pictures have captions from ``FIRST`` on."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg2video", rate=RATE)
        video.width, video.height, video.pix_fmt = *size, pix_fmt

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
            mux(video.encode(av.VideoFrame.from_ndarray(gray, format="gray").reformat(format=pix_fmt)))
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


def test_captions_stay_with_the_denoised_pixels(tmp_path):
    path = write_captioned(tmp_path / "in.ts")
    denoise_video(path, tmp_path / "out.mkv", config=DenoiseConfig(strength=5))
    assert captions_of(tmp_path / "out.mkv") == EXPECTED


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
            side_data_bytes(av.VideoFrame(64, 48, "yuv420p"), "A53_CC")
        assert not [each for each in gc.get_objects() if isinstance(each, av.VideoFrame)]
    finally:
        gc.enable()
