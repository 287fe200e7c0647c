"""Field order: on frames as they are read, and in files as they are written."""

from fractions import Fraction

import av
import pytest
from helpers.sink import transcode
from media import join_files, random_planes, read_frames, write_planes

from malle_rt.media.encode_config import EncodeConfig
from malle_rt.media.file_source import FileSource
from malle_rt.media.interlacing import FieldMarker, FieldReader

RATE = Fraction(25)
SIZE = (64, 48)
_FIELD_FLAGS = 1 << 18 | 1 << 29


def fields_setup(stream):
    stream.codec_context.flags |= _FIELD_FLAGS


def write_interlaced(
    path,
    orders,
    *,
    pix_fmt="yuv420p",
    codec="mpeg2video",
    encode_as=None,
    options=None,
    size=SIZE,
    interlaced=True,
):
    pictures = [random_planes(pix_fmt, size, seed=index) for index in range(len(orders))]
    return write_planes(
        path,
        pictures,
        pix_fmt,
        fps=RATE,
        codec=codec,
        fields=orders,
        setup=fields_setup if interlaced else None,
        encode_as=encode_as,
        options=options,
    )


def orders_of(path):
    frames, _ = read_frames(FileSource(path))
    return [frame.fields for frame in frames]


@pytest.mark.parametrize("order", ["top", "bottom"])
def test_the_order_is_read_from_a_picture_and_written_on_it(order):
    picture = av.VideoFrame(*SIZE, "yuv420p")
    reader = FieldReader()
    assert reader.order(picture) is None
    marked = FieldMarker().marked(picture, order)
    assert reader.order(marked) == order
    assert marked.planes[0].buffer_ptr == picture.planes[0].buffer_ptr  # no pixel is copied


def test_each_frame_has_its_own_order(tmp_path):
    parts = [
        write_interlaced(tmp_path / f"{order}.ts", [order] * 6, interlaced=order is not None)
        for order in (None, "top", "bottom")
    ]
    orders = orders_of(join_files(tmp_path / "joined.ts", parts))
    assert set(orders[:5]) == {None}
    assert orders[-5:] == ["bottom"] * 5
    assert "top" in orders


# Encoder, container, format: each is read back as interlaced of the right order by FFmpeg itself.
OUTPUTS = [
    ("libx264", "mkv", None),
    ("libx264", "mp4", "yuv420p10le"),
    ("libx264", "mov", "yuv422p"),
    ("mpeg2video", "mkv", "yuv420p"),
    ("mpeg2video", "ts", "yuv422p"),
    ("mpeg2video", "mxf", "yuv422p"),
    ("prores_ks", "mov", None),
    ("ffv1", "mkv", None),
    ("ffv1", "mkv", "yuv422p10le"),
    ("mpeg4", "avi", "yuv420p"),
    ("rawvideo", "mov", "uyvy422"),
    ("v210", "mov", None),
]


@pytest.mark.parametrize("order", ["top", "bottom"])
@pytest.mark.parametrize(("codec", "suffix", "pix_fmt"), OUTPUTS)
def test_the_order_is_kept_through_every_conversion(tmp_path, order, codec, suffix, pix_fmt):
    source = write_interlaced(  # AVI: plain MPEG-2 encoders need a time base of whole frames
        tmp_path / "a.avi",
        [order] * 4,
        codec="mpeg2video",
        pix_fmt="yuv422p",
        options={"qmin": "1", "q": "2"},
    )
    assert orders_of(source) == [order] * 4
    transcode(source, tmp_path / f"b.{suffix}", EncodeConfig(codec=codec, pix_fmt=pix_fmt))
    assert orders_of(tmp_path / f"b.{suffix}") == [order] * 4


def test_packed_samples_of_a_capture_card_keep_their_order(tmp_path):
    path = write_interlaced(
        tmp_path / "a.mov",
        ["top"] * 4,
        pix_fmt="yuv422p",
        codec="rawvideo",
        encode_as="uyvy422",
        options={"field_order": "tb"},
    )
    assert orders_of(path) == ["top"] * 4
    for config in (None, EncodeConfig(pix_fmt="yuv422p"), EncodeConfig(codec="prores_ks")):
        transcode(path, tmp_path / "b.mov", config)
        assert orders_of(tmp_path / "b.mov") == ["top"] * 4
        (tmp_path / "b.mov").unlink()
