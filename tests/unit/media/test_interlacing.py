"""Field order: on frames as they are read, and in files as they are written."""

from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from helpers.sink import transcode
from media import join_files, random_planes, read_frames, write_planes

from malle_rt.api import Transcode, TranscodeOptions
from malle_rt.config import DenoiseConfig
from malle_rt.errors import ConfigError
from malle_rt.frame import VideoInfo, pixel_layout
from malle_rt.live.capture.device import CaptureRequest
from malle_rt.live.capture.stream import StreamCapture
from malle_rt.live.frame import LiveFrame
from malle_rt.media.deinterlace import Deinterlacer
from malle_rt.media.encode_config import EncodeConfig
from malle_rt.media.file_sink import FileSink
from malle_rt.media.file_source import FileSource
from malle_rt.media.interlacing import FieldMarker, FieldReader
from malle_rt.media.planes import new_video_frame
from malle_rt.media.synthetic import SyntheticSource

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


def timeline(path, **options):
    frames, _ = read_frames(FileSource(path, **options))
    return [(frame.seconds, frame.duration * frame.time_base, frame.fields) for frame in frames]


def test_deinterlacing_gives_each_field_its_instant_and_leaves_progressive_frames(tmp_path):
    orders = ["top", "top", None, None, "bottom", "bottom"]
    pictures = [random_planes("yuv420p", SIZE, seed=index) for index in range(6)]
    deinterlacer, marker = Deinterlacer("field"), FieldMarker()
    instants = [0, 40, 80, 120, 160, 1000]  # a pause behind the fifth
    results = []
    for planes, order, instant in zip(pictures, orders, instants, strict=True):
        picture = new_video_frame(planes, "yuv420p")
        picture = marker.marked(picture, order) if order else picture
        picture.pts, picture.duration, picture.time_base = instant, 40, Fraction(1, 1000)
        results += deinterlacer.pictures(picture)
    results += deinterlacer.drain()
    found = [float(picture.pts * picture.time_base) for picture in results]
    assert found == [0, 0.02, 0.04, 0.06, 0.08, 0.12, 0.16, 0.18, 1, 1.02]
    for number, place in ((2, 4), (3, 5)):
        assert np.array_equal(results[place].to_ndarray()[:48], pictures[number][0])
    assert not any(picture.interlaced_frame for picture in results)


def test_a_deinterlaced_file_has_twice_the_frames_or_as_many(tmp_path):
    path = write_interlaced(tmp_path / "a.mov", ["top"] * 4, codec="mpeg2video")
    assert [each[2] for each in timeline(path)] == ["top"] * 4
    tick = Fraction(1, 50)
    assert timeline(path, deinterlace="field") == [(n * tick, tick, None) for n in range(8)]
    assert timeline(path, deinterlace="frame") == [(2 * n * tick, 2 * tick, None) for n in range(4)]
    source = FileSource(path, deinterlace="field")
    assert (source.info.frame_rate, source.template.fields) == (50, None)
    source.close()


def test_a_deinterlaced_file_is_written_at_the_rate_of_its_fields(tmp_path):
    path = write_interlaced(tmp_path / "a.avi", ["bottom"] * 4)
    options = TranscodeOptions(config=DenoiseConfig(backend="none"), deinterlace="field")
    with Transcode(path, tmp_path / "b.mp4", options) as job:
        job.run()
    written = timeline(tmp_path / "b.mp4")
    assert [(at - written[0][0], fields) for at, _, fields in written] == [
        (Fraction(n, 50), None) for n in range(8)
    ]


def test_an_unknown_way_of_deinterlacing_is_refused():
    with pytest.raises(ConfigError, match="field, frame, got 'line'"):
        Deinterlacer("line")


def test_chroma_of_other_fields_is_not_mixed_in(tmp_path):
    """4:2:0 to 4:2:2: top fields are red, bottom fields are blue, and stay so."""
    luma = np.full((48, 64), 100, np.uint8)
    chroma = np.where(np.arange(24)[:, None] % 2 == 0, 60, 200).astype(np.uint8) * np.ones((1, 32), np.uint8)
    path = write_planes(
        tmp_path / "a.nut",
        [(luma, chroma, chroma)] * 2,
        "yuv420p",
        fps=RATE,
        fields=["top"] * 2,
        options={"field_order": "tb"},
        setup=fields_setup,
    )
    transcode(path, tmp_path / "b.mkv", EncodeConfig(codec="ffv1", pix_fmt="yuv422p"))
    frames, _ = read_frames(FileSource(tmp_path / "b.mkv"))
    assert [frame.fields for frame in frames] == ["top"] * 2
    for plane in frames[0].planes[1:]:
        assert np.abs(plane[0::2].astype(int) - 60).max() <= 1
        assert np.abs(plane[1::2].astype(int) - 200).max() <= 1


@pytest.mark.parametrize("rate", ["field", "frame", None])
def test_live_input_takes_its_fields_too(tmp_path, rate):
    path = write_interlaced(tmp_path / "a.mov", ["top"] * 4)
    capture = StreamCapture(CaptureRequest(device=str(path), deinterlace=rate))
    try:
        shots = [shot for shot in capture if isinstance(shot, LiveFrame)]
        step = Fraction(1, 50 if rate == "field" else 25)
        assert [shot.seconds for shot in shots] == [n * step for n in range(8 if rate == "field" else 4)]
        assert {shot.fields for shot in shots} == {"top" if rate is None else None}
        assert capture.template.fields == ("top" if rate is None else None)
    finally:
        capture.close()


@pytest.mark.slow
@pytest.mark.parametrize(("codec", "suffix"), [("libx264", "mkv"), ("ffv1", "mkv"), ("prores_ks", "mov")])
def test_a_recording_that_becomes_interlaced_is_written_as_such(tmp_path, codec, suffix, caplog):
    size = (176, 144)
    parts = [
        write_interlaced(tmp_path / f"{order}.ts", [order] * 30, interlaced=order is not None, size=size)
        for order in (None, "top")
    ]
    path = join_files(tmp_path / "joined.ts", parts)
    orders = orders_of(path)
    assert orders[:25] == [None] * 25
    transcode(path, tmp_path / f"b.{suffix}", EncodeConfig(codec=codec))
    written = orders_of(tmp_path / f"b.{suffix}")
    assert "bottom" not in written
    assert all(after == "top" for before, after in zip(orders, written, strict=True) if before == "top")
    assert not any("cannot say so" in record.getMessage() for record in caplog.records)


def test_fields_that_come_unforeseen_are_said(tmp_path, caplog):
    source = next(iter(SyntheticSource(1, SIZE)))
    sink = FileSink(tmp_path / "b.mkv", VideoInfo(*SIZE, "yuv420p", Fraction(1, 25)))
    for number in range(3):
        sink.write(replace(source, pts=number, time_base=Fraction(1, 25), fields="top" if number else None))
    sink.finish()
    messages = [record.getMessage() for record in caplog.records]
    assert sum("the output cannot say so: it began without fields" in message for message in messages) == 1


@pytest.mark.parametrize(
    ("codec", "suffix", "pix_fmt", "size", "options"),
    [
        ("dvvideo", "avi", "yuv420p", (720, 576), {}),
        ("dvvideo", "mov", "yuv411p", (720, 480), {}),
        ("mpeg2video", "mxf", "yuv422p", (1920, 1080), {"b": "50M"}),
        ("dnxhd", "mxf", "yuv422p", (1920, 1080), {"b": "120M"}),
    ],
)
def test_studio_formats_keep_the_order(tmp_path, codec, suffix, pix_fmt, size, options):
    rate = Fraction(30000, 1001) if size[1] == 480 else RATE
    planes = [
        tuple(np.full(s, 90 + n, np.uint8) for s in pixel_layout(pix_fmt).plane_shapes(*size)) for n in (0, 1)
    ]
    source = write_planes(
        tmp_path / "a.avi", planes, pix_fmt, fps=rate, fields=["bottom"] * 2, setup=fields_setup
    )
    assert orders_of(source) == ["bottom"] * 2
    transcode(source, tmp_path / f"b.{suffix}", EncodeConfig(codec=codec, options=options))
    assert orders_of(tmp_path / f"b.{suffix}") == ["bottom"] * 2
