"""Transparency goes from the decoder's pictures to the encoder, where that can hold it."""

from fractions import Fraction

import av
import numpy as np
import pytest

from malle_rt import EncodeConfig, denoise_video
from malle_rt.config import DenoiseConfig
from malle_rt.media.picture_plan import plan_picture
from malle_rt.media.pixel_formats import alpha_format
from malle_rt.media.synthetic import SyntheticSource

PLAIN = DenoiseConfig(strength=0)
SIZE, FRAMES = (64, 48), 4


def alpha_at(index):
    """A step that moves with the frames."""
    plane = np.zeros(SIZE[::-1], int)
    plane[:, 8 * (index + 1) :] = 255
    return plane


def write_transparent(path, codec, pix_fmt, rotation=0):
    with av.open(str(path), "w") as container:
        options = {"auto-alt-ref": "0"} if codec.startswith("libvpx") else {}
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = *SIZE, pix_fmt
        if codec.startswith("libvpx"):
            stream.metadata["alpha_mode"] = "1"
        if rotation:
            stream.set_display_rotation(rotation)
        for index in range(FRAMES):
            rgba = np.full((SIZE[1], SIZE[0], 4), 120, np.uint8)
            rgba[..., 3] = alpha_at(index)
            picture = av.VideoFrame.from_ndarray(rgba, format="rgba")
            picture = picture.reformat(format=pix_fmt)
            picture.pts, picture.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def alphas_of(path, decoder=None):
    """The transparency of each picture on a scale of 255."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = av.CodecContext.create(decoder, "r") if decoder else stream.codec_context
        pictures = [
            p for packet in container.demux(stream) for p in context.decode(packet if packet.size else None)
        ]
    return [picture.to_ndarray(format="rgba")[..., 3].astype(int) for picture in pictures]


@pytest.mark.parametrize(
    ("source", "target", "decoder"),
    [
        (("in.mkv", "ffv1", "yuva420p"), ("out.mkv", EncodeConfig(codec="ffv1")), None),
        (("in.mkv", "ffv1", "yuva444p10le"), ("out.mov", EncodeConfig(codec="prores_ks")), None),
        (("in.mov", "qtrle", "argb"), ("out.mov", EncodeConfig(codec="qtrle")), None),
        (("in.mov", "qtrle", "argb"), ("out.mkv", EncodeConfig(codec="ffv1")), None),
        (("in.webm", "libvpx-vp9", "yuva420p"), ("out.webm", None), "libvpx-vp9"),
        (("in.webm", "libvpx", "yuva420p"), ("out.webm", EncodeConfig(codec="libvpx")), "libvpx"),
        (("in.webm", "libvpx-vp9", "yuva420p"), ("out.mov", EncodeConfig(codec="prores_ks")), None),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) and isinstance(value[1], str) else None,
)
@pytest.mark.parametrize("strength", [0, 5])
def test_transparency_is_kept(tmp_path, source, target, decoder, strength, caplog):
    name, codec, pix_fmt = source
    path = write_transparent(tmp_path / name, codec, pix_fmt)
    output, encode = tmp_path / target[0], target[1]
    denoise_video(path, output, config=DenoiseConfig(strength=strength), encode=encode)
    found = alphas_of(output, decoder)
    assert len(found) == FRAMES
    lossless = not codec.startswith("libvpx") and decoder is None
    for index, alpha in enumerate(found):
        assert abs(alpha - alpha_at(index)).max() <= (1 if lossless else 12)
    assert not any("dropped" in record.message for record in caplog.records)
    if output.suffix == ".webm":
        with av.open(str(output)) as container:
            assert "1" in {
                value for key, value in container.streams.video[0].metadata.items() if "alpha" in key.lower()
            }


@pytest.mark.parametrize(
    ("encode", "reason"),
    [(EncodeConfig(), "encoder libx264"), (EncodeConfig(codec="ffv1", pix_fmt="yuv420p"), "pix_fmt yuv420p")],
)
def test_what_cannot_hold_transparency_says_so_once(tmp_path, encode, reason, caplog):
    path = write_transparent(tmp_path / "in.mkv", "ffv1", "yuva420p")
    denoise_video(path, tmp_path / "out.mkv", config=PLAIN, encode=encode)
    said = [record.message for record in caplog.records if "transparency is dropped" in record.message]
    assert len(said) == 1
    assert reason in said[0]


def test_turned_pictures_keep_it(tmp_path):
    path = write_transparent(tmp_path / "in.mov", "qtrle", "argb", rotation=90)
    denoise_video(path, tmp_path / "out.avi", config=PLAIN, encode=EncodeConfig(codec="ffv1"))
    for index, alpha in enumerate(alphas_of(tmp_path / "out.avi")):
        assert abs(alpha - np.rot90(alpha_at(index))).max() <= 1


@pytest.mark.parametrize(
    ("pix_fmt", "expected"),
    [
        ("yuv420p", "yuva420p"),
        ("yuv444p12le", "yuva444p12le"),
        ("yuv420p12le", "yuva420p16le"),
        ("yuv411p", "yuva422p"),
    ],
)
def test_formats_with_transparency(pix_fmt, expected):
    assert alpha_format(pix_fmt) == expected


def test_an_encoder_that_names_a_format_and_refuses_it_is_not_given_it():
    info = SyntheticSource(1, SIZE).info
    for codec in ("libx265", "libvpx-vp9"):
        plan = plan_picture(info, EncodeConfig(codec=codec), turn=False, alpha=True)
        context = av.CodecContext.create(codec, "w")
        context.width, context.height, context.pix_fmt = *plan.size, plan.pix_fmt
        context.time_base = Fraction(1, 25)
        context.options = EncodeConfig(codec=codec).encoder_options(plan.pix_fmt)
        context.open()
