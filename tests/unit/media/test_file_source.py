"""Reading real containers: every frame, its exact instant, its exact samples, and what is wrong with bad files."""

import gc
import logging
import os
from fractions import Fraction

import av
import numpy as np
import pytest
from media import (
    NTSC,
    damage,
    indices,
    join_files,
    random_planes,
    read_frames,
    truncate,
    write_clip,
    write_film,
    write_planes,
)

from malle_rt.errors import ConfigError, SourceError
from malle_rt.frame import pixel_layout
from malle_rt.media.conversion import planes_of
from malle_rt.media.file_source import FileSource
from malle_rt.media.planes import new_video_frame

VFR = [0, 1, 2, 9, 10, 30, 31, 32, 60, 61, 62, 100]


@pytest.fixture
def opened():
    """Read a file to its end; it stays open until the test ends, since packets refer to their container."""
    sources = []

    def read(path, **options):
        sources.append(FileSource(path, **options))
        return sources[-1], *read_frames(sources[-1])

    yield read
    for source in sources:
        source.close()


@pytest.mark.parametrize("fps", [NTSC, Fraction(25), Fraction(24000, 1001)])
def test_constant_rate_keeps_every_pts(tmp_path, fps, opened):
    source, frames, _ = opened(write_clip(tmp_path / "a.nut", fps=fps, frames=40))
    assert indices(frames) == list(range(40))
    assert [frame.seconds for frame in frames] == [index / fps for index in range(40)]
    assert source.info.frame_rate == fps
    assert source.repaired_timestamps == 0


def test_variable_rate_keeps_every_pts(tmp_path, opened):
    path = write_clip(tmp_path / "a.nut", pts=VFR, time_base=Fraction(1, 100))
    _, frames, _ = opened(path)
    assert [frame.seconds for frame in frames] == [Fraction(pts, 100) for pts in VFR]
    assert indices(frames) == list(range(12))


@pytest.mark.parametrize(
    "pix_fmt",
    ["yuv420p", "yuv422p", "yuv444p", "gray", "yuv420p10le", "yuv422p12le", "yuv444p16le", "gray10le"],
)
@pytest.mark.parametrize("size", [(64, 48), (33, 17), (1, 1)])
def test_samples_are_exact_whatever_the_format_and_size(tmp_path, pix_fmt, size, opened):
    planes = random_planes(pix_fmt, size)
    path = write_planes(tmp_path / "a.nut", [planes], pix_fmt)
    source, frames, _ = opened(path)
    assert source.info.pix_fmt == frames[0].pix_fmt == pix_fmt
    assert (source.info.width, source.info.height) == size
    for given, read in zip(planes, frames[0].planes, strict=True):
        np.testing.assert_array_equal(given, read)


@pytest.mark.parametrize(
    ("stored", "planar"),
    [("nv12", "yuv420p"), ("yuyv422", "yuv422p"), ("yuv420p10be", "yuv420p10le"), ("gray16be", "gray16le")],
)
def test_other_layouts_of_the_same_samples_are_unpacked_exactly(tmp_path, stored, planar, opened):
    planes = random_planes(planar, (64, 48))
    path = write_planes(tmp_path / "a.nut", [planes], planar, codec="rawvideo", encode_as=stored)
    source, frames, _ = opened(path)
    assert source.info.pix_fmt == frames[0].pix_fmt == planar
    for given, read in zip(planes, frames[0].planes, strict=True):
        np.testing.assert_array_equal(given, read)


def test_p010_is_unpacked_exactly():
    # No raw container of FFmpeg says "P010", but hardware decoders give it.
    planes = random_planes("yuv420p10le", (64, 48))
    packed = new_video_frame(planes, "yuv420p10le").reformat(format="p010le")
    for given, read in zip(planes, planes_of(packed), strict=True):
        np.testing.assert_array_equal(given, read)


def test_rgb_becomes_ten_bit_and_comes_back_within_one_step(tmp_path, opened):
    rgb = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    path = tmp_path / "a.nut"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "bgr0"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        container.mux(stream.encode())
    source, frames, _ = opened(path)
    assert source.info.pix_fmt == "yuv444p10le"
    assert (source.info.color.color_range, source.info.color.colorspace) == (1, 1)
    # The textbook matrix of BT.709 in limited range, undone in float64.
    y, u, v = (plane.astype(np.float64) for plane in frames[0].planes)
    y, u, v = (y / 4 - 16) / 219, (u / 4 - 128) / 224, (v / 4 - 128) / 224
    back = np.stack([y + 1.5748 * v, y - 0.1873 * u - 0.4681 * v, y + 1.8556 * u], axis=-1) * 255
    # Ten bits hold 1.14 steps per step of RGB in chroma, so rounding alone costs up to about one.
    assert np.abs(back - rgb).max() < 2.0
    assert np.abs(back - rgb).mean() < 0.5


def test_full_range_is_a_tag_not_a_format(tmp_path, opened):
    def full(stream):
        stream.codec_context.color_range = 2

    path = write_clip(tmp_path / "a.mkv", codec="mjpeg", pix_fmt="yuv420p", setup=full)
    source, frames, _ = opened(path)
    assert source.info.pix_fmt == "yuv420p"
    assert source.info.color.color_range == 2
    pixel_layout(frames[0].pix_fmt)


def test_start_seeks_and_moves_everything_to_zero(tmp_path, opened):
    path = write_film(tmp_path / "a.mkv", frames=50)
    source, frames, packets = opened(path, start=Fraction(1), duration=Fraction(1, 2))
    assert indices(frames) == list(range(25, 38))
    assert frames[0].seconds == 0
    assert source.info.duration == Fraction(1, 2)
    times = [p.payload.pts * p.payload.time_base for p in packets if p.payload.stream.type == "audio"]
    assert 0 <= min(times) < Fraction(1, 20)
    assert Fraction(9, 20) < max(times) < Fraction(1, 2)


def test_duration_alone_leaves_timestamps(tmp_path, opened):
    path = write_clip(tmp_path / "a.nut", frames=20, fps=Fraction(25))
    _, frames, _ = opened(path, duration=Fraction(2, 5))
    assert [frame.seconds for frame in frames] == [Fraction(index, 25) for index in range(10)]


def test_a_start_behind_the_end_is_an_error(tmp_path):
    with pytest.raises(SourceError, match="no frame in the part asked for"):
        FileSource(write_clip(tmp_path / "a.nut"), start=Fraction(100))


def test_a_negative_start_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="start must not be negative, got -1"):
        FileSource(write_clip(tmp_path / "a.nut"), start=Fraction(-1))


def test_other_tracks_come_in_between_or_not_at_all(tmp_path, opened):
    path = write_film(tmp_path / "a.mkv")
    source, frames, packets = opened(path)
    kinds = {packet.payload.stream.type for packet in packets}
    assert kinds == {"audio", "subtitle"}
    assert len(frames) == 30
    assert len(source.template.others) == 3
    _, frames, packets = opened(path, carry_other_streams=False)
    assert (len(frames), packets) == (30, [])


def test_the_default_track_wins_over_a_larger_one_and_the_other_is_carried(tmp_path, opened):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        streams = []
        for size, disposition in (((64, 48), 1), ((128, 96), 0)):
            stream = container.add_stream("ffv1", rate=25)
            stream.width, stream.height = size
            stream.disposition = disposition
            streams.append(stream)
        for stream in streams:
            container.mux(stream.encode(av.VideoFrame(stream.width, stream.height, "yuv420p")))
    source, frames, packets = opened(path)
    assert (source.info.width, len(frames), len(packets)) == (64, 1, 1)


def test_a_truncated_file_yields_what_is_there(tmp_path, opened):
    path = truncate(write_clip(tmp_path / "a.mkv", frames=40), 0.5)
    source, frames, _ = opened(path)
    assert 10 < len(frames) < 30
    assert indices(frames)[:10] == list(range(10))


def test_damage_in_the_middle_is_skipped_and_counted_once_in_the_log(tmp_path, caplog, opened):
    whole = write_clip(tmp_path / "a.nut", frames=60)
    _, reference, _ = opened(whole)
    source, frames, _ = opened(damage(whole, start=0.4, length=4000))
    found = indices(frames)
    assert found[:10] == list(range(10))
    assert found[-1] == 59, "what follows the damage is lost"
    assert [frame.seconds for frame in frames] == sorted({frame.seconds for frame in frames})
    assert 40 < len(frames) < len(reference) or source.corrupt_packets
    assert sum("damaged data is skipped" in record.message for record in caplog.records) <= max(
        1, source.corrupt_packets
    )


def test_undecodable_packets_are_counted(tmp_path, opened):
    path = write_clip(tmp_path / "a.nut", frames=30, codec="mpeg4", options={"g": "1"})
    clean, frames, _ = opened(path)
    assert (clean.corrupt_packets, len(frames)) == (0, 30)
    with av.open(str(path)) as reader:
        positions = [(packet.pos, packet.size) for packet in reader.demux() if packet.size]
    data = bytearray(path.read_bytes())
    position, size = positions[12]
    # Behind the frame's header of a few bytes, so that the container stays whole and the picture does not.
    data[position + 20 : position + size - 4] = bytes(size - 24)
    path.write_bytes(data)
    source, frames, _ = opened(path)
    assert len(frames) >= 29
    assert indices(frames)[-1] == 29
    assert source.corrupt_packets + len(frames) >= 29


def test_size_changes_come_as_they_are(tmp_path, opened):
    parts = [
        write_clip(tmp_path / f"{size[0]}.ts", size=size, codec="libx264", frames=8, options={"bf": "0"})
        for size in ((64, 48), (96, 64))
    ]
    source, frames, _ = opened(join_files(tmp_path / "a.ts", parts))
    assert source.info.width == 64
    assert [frame.width for frame in frames] == [64] * 8 + [96] * 8
    times = [frame.seconds for frame in frames]
    assert times == sorted(set(times)), "time goes back at the join"
    gap = times[8] - times[7]
    assert 0 < gap < Fraction(1, 5)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"", "the file is empty"),
        (b"no video at all " * 400, "not a video that FFmpeg can read"),
    ],
)
def test_says_what_is_wrong_with_a_file(tmp_path, content, message):
    path = tmp_path / "a.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SourceError, match=message) as caught:
        FileSource(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_is_not_a_video(tmp_path):
    with pytest.raises(SourceError, match=r"this is a folder. Give a video file"):
        FileSource(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(tmp_path):
    path = write_clip(tmp_path / "a.nut")
    path.chmod(0)
    with pytest.raises(SourceError, match="no permission to read it"):
        FileSource(path)


def test_a_cut_off_mp4_has_no_index(tmp_path):
    path = truncate(write_clip(tmp_path / "a.mp4", codec="libx264"), 0.5)
    with pytest.raises(SourceError, match="cut off before its index"):
        FileSource(path)


def test_sound_alone_is_named(tmp_path):
    path = tmp_path / "a.mka"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("flac", rate=48000)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.int16), format="s16", layout="mono")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(SourceError, match=r"no video track, only audio \(flac\)"):
        FileSource(path)


def test_no_decodable_frame_is_an_error(tmp_path, caplog):
    path = write_clip(tmp_path / "a.nut", frames=2, codec="ffv1")
    with av.open(str(path)) as reader:
        spots = [(packet.pos, packet.size) for packet in reader.demux() if packet.size]
    data = bytearray(path.read_bytes())
    for position, size in spots:
        data[position + 8 : position + size] = b"\xff" * (size - 8)
    path.write_bytes(data)
    with (
        caplog.at_level(logging.WARNING),
        pytest.raises(SourceError, match=r"no frame could be decoded|not a video"),
    ):
        FileSource(path)


def test_close_may_be_called_twice(tmp_path):
    source = FileSource(write_clip(tmp_path / "a.nut"))
    source.close()
    source.close()


def test_pictures_are_freed_without_the_garbage_collector(tmp_path):
    # A frame of PyAV and its side data refer to each other once the side data has been looked at; a film of them
    # would fill the memory between two collections.
    path = write_clip(tmp_path / "a.mp4", codec="libx264", frames=60)
    gc.collect()
    gc.disable()
    try:
        source = FileSource(path)
        assert sum(1 for _ in source) == 60
        source.close()
        del source
        assert sum(isinstance(each, av.VideoFrame) for each in gc.get_objects()) < 5
    finally:
        gc.enable()
