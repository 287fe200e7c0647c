"""Sound on its way through: converted where a container cannot hold it, sample for sample, and in its place."""

import itertools
from fractions import Fraction

import av
import numpy as np
import pytest

from malle_rt import denoise_video
from malle_rt.config import DenoiseConfig
from malle_rt.frame import Packet
from malle_rt.media.carrying import CarriedTrack
from malle_rt.media.encode_config import EncodeConfig
from malle_rt.media.file_sink import FileSink
from malle_rt.media.file_source import FileSource
from malle_rt.media.sound import sound_for
from tests.media import join_files

PLAIN = DenoiseConfig(backend="none")
RATE = 48000


def write_movie(path, codec, *, sample_format="s16", seconds=1, video="mpeg4", size=(64, 48), skip=()):
    """A picture, and noise as sound; blocks of 1920 samples, without those in ``skip``. Returns the samples."""
    rng = np.random.default_rng(5)
    with av.open(str(path), "w") as container:
        picture = container.add_stream(video, rate=25)
        picture.width, picture.height, picture.pix_fmt = *size, "yuv420p"
        picture.codec_context.time_base = Fraction(1, 25)
        sound = container.add_stream(codec, rate=RATE)
        sound.codec_context.layout, sound.codec_context.format = "stereo", sample_format
        pieces = []
        for index in range(25 * seconds):
            frame = av.VideoFrame(*size, "yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(picture.encode(frame))
            if index in skip:
                continue
            integers = rng.integers(-(1 << 15), 1 << 15, (1, 1920 * 2), dtype=np.int16)
            if sample_format == "s32":
                integers = (
                    integers.astype(np.int32) << 16
                    | rng.integers(0, 256, integers.shape, dtype=np.int32) << 8
                )
            block = av.AudioFrame.from_ndarray(integers, format=sample_format, layout="stereo")
            block.sample_rate, block.pts, block.time_base = RATE, index * 1920, Fraction(1, RATE)
            container.mux(sound.encode(block))
            pieces.append(integers)
        container.mux(picture.encode())
        container.mux(sound.encode())
    return np.concatenate(pieces, axis=1)[0]


def read_sound(path, sample_format):
    """(codec, first instant, samples) of a file's sound."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        resampler = av.AudioResampler(format=sample_format, layout="stereo", rate=RATE)
        frames = list(container.decode(stream))
        first = frames[0].pts * frames[0].time_base
        pieces = [piece.to_ndarray()[0] for frame in frames for piece in resampler.resample(frame)]
        return stream.codec_context.name, first, np.concatenate(pieces)


@pytest.mark.parametrize(
    ("source", "codec", "sample_format", "target", "becomes"),
    [
        ("in.vob", "pcm_dvd", "s16", "out.mkv", "pcm_s16le"),
        ("in.vob", "pcm_dvd", "s16", "out.mp4", "flac"),
        ("in.m2ts", "pcm_bluray", "s16", "out.mkv", "pcm_s16le"),
        ("in.m2ts", "pcm_bluray", "s32", "out.mkv", "pcm_s24le"),
        ("in.mov", "pcm_s16le", "s16", "out.mp4", "flac"),
        ("in.mov", "pcm_s24le", "s32", "out.mp4", "flac"),
        ("in.mov", "pcm_s24le", "s32", "out.mkv", "pcm_s24le"),
    ],
)
def test_sound_that_does_not_fit_is_converted_sample_for_sample(
    tmp_path, source, codec, sample_format, target, becomes, caplog
):
    write_movie(tmp_path / source, codec, sample_format=sample_format, video="mpeg2video")
    written = read_sound(tmp_path / source, sample_format)[2]
    denoise_video(tmp_path / source, tmp_path / target, config=PLAIN)
    name, first, samples = read_sound(tmp_path / target, sample_format)
    assert (name, float(first)) == (becomes, pytest.approx(0, abs=0.001))
    assert np.array_equal(samples, written)
    said = [r.message for r in caplog.records if "converted" in r.message]
    assert len(said) == (becomes != codec)
    assert all("without loss" in line for line in said)


@pytest.mark.parametrize(("target", "becomes"), [("out.webm", "opus"), ("out.ts", "aac"), ("out.flv", "aac")])
def test_the_only_sound_is_never_dropped(tmp_path, target, becomes, caplog):
    write_movie(tmp_path / "in.mov", "pcm_s16le")
    denoise_video(tmp_path / "in.mov", tmp_path / target, config=PLAIN)
    with av.open(str(tmp_path / target)) as container:
        assert container.streams.audio[0].codec_context.name.removeprefix("lib") == becomes
    assert any("nothing it can hold keeps every bit" in record.message for record in caplog.records)


def test_gaps_in_converted_sound_stay_gaps(tmp_path):
    written = write_movie(tmp_path / "in.mkv", "pcm_s16le", skip=range(5, 10))
    denoise_video(tmp_path / "in.mkv", tmp_path / "out.mp4", config=PLAIN)
    samples = read_sound(tmp_path / "out.mp4", "s16")[2].reshape(-1, 2)
    assert len(samples) == RATE
    assert not samples[5 * 1920 : 10 * 1920].any()
    assert np.array_equal(samples[10 * 1920 :].ravel(), written[5 * 1920 * 2 :])


def test_mxf_keeps_its_sound(tmp_path):
    written = write_movie(
        tmp_path / "in.mxf", "pcm_s24le", sample_format="s32", video="mpeg2video", size=(720, 576)
    )
    denoise_video(
        tmp_path / "in.mxf", tmp_path / "out.mxf", config=PLAIN, encode=EncodeConfig(codec="mpeg2video")
    )
    name, _, samples = read_sound(tmp_path / "out.mxf", "s32")
    assert name == "pcm_s24le"
    assert np.array_equal(samples, written)


def write_aac(path, seconds=1):
    with av.open(str(path), "w") as container:
        picture = container.add_stream("mpeg2video", rate=25)
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        picture.codec_context.time_base = Fraction(1, 25)
        sound = container.add_stream("aac", rate=RATE)
        for index in range(25 * seconds):
            frame = av.VideoFrame(64, 48, "yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(picture.encode(frame))
            block = av.AudioFrame.from_ndarray(
                np.zeros((2, 1920), np.float32), format="fltp", layout="stereo"
            )
            block.sample_rate, block.pts, block.time_base = RATE, index * 1920, Fraction(1, RATE)
            container.mux(sound.encode(block))
        container.mux(picture.encode())
        container.mux(sound.encode())
    return path


@pytest.mark.parametrize("target", ["live.mp4", "live.mov"])
def test_aac_of_a_broadcast_is_recorded_live_to_the_end(tmp_path, target):
    source = FileSource(write_aac(tmp_path / "in.ts", seconds=4))
    sink = FileSink(tmp_path / target, source, live=True)
    for item in source:
        sink.write(item)
    sink.finish()
    source.close()
    with av.open(str(tmp_path / target)) as container:
        sound = container.streams.audio[0]
        assert len(sound.codec_context.extradata) >= 2
        assert sum(frame.samples for frame in container.decode(sound)) >= 3.9 * RATE


def test_joined_broadcasts_go_into_mp4(tmp_path):
    part = write_aac(tmp_path / "part.ts", seconds=1)
    joined = join_files(tmp_path / "joined.ts", [part, part])
    denoise_video(joined, tmp_path / "out.mp4", config=PLAIN)
    with av.open(str(tmp_path / "out.mp4")) as container:
        times = [packet.dts for packet in container.demux(audio=0) if packet.dts is not None]
        assert times == sorted(set(times))


def test_decoding_times_rise_on_the_clock_of_the_output(tmp_path):
    write_movie(tmp_path / "in.mov", "pcm_s16le")
    with (
        av.open(str(tmp_path / "in.mov")) as source,
        av.open(str(tmp_path / "out.nut"), "w") as output,
    ):
        sound = source.streams.audio[0]
        copy = output.add_stream_from_template(sound)
        output.start_encoding()
        track = CarriedTrack(copy, sound, output)
        unit = copy.time_base
        placed = []
        for tick in (0, 1, 2, 2, 1, 5):
            packet = av.Packet(bytes(8))
            packet.pts = packet.dts = tick
            packet.time_base = Fraction(unit) / 4  # finer than the output's
            placed += [made.dts for made in track.packets(packet, Fraction(0))]
        assert all(later > earlier for earlier, later in itertools.pairwise(placed))


def test_nothing_is_chosen_where_nothing_fits():
    class Sound:
        type = "audio"
        codec_context = av.CodecContext.create("pcm_s16le", "r")

    Sound.codec_context.sample_rate, Sound.codec_context.layout = RATE, "stereo"
    assert sound_for("gif", Sound()) is None


def without_video_times(path):
    """A program stream whose picture has no timestamps, as some recorders write: flags cleared, fields stuffed."""
    data = bytearray(path.read_bytes())
    place = -1
    while (place := data.find(b"\0\0\1\xe0", place + 1)) >= 0:
        data[place + 7] &= 0x3F
        data[place + 9 : place + 9 + data[place + 8]] = b"\xff" * data[place + 8]
    path.write_bytes(data)
    return path


def test_a_program_stream_without_times_stays_in_sync(tmp_path):
    write_movie(tmp_path / "in.vob", "pcm_dvd", video="mpeg2video")
    source = FileSource(without_video_times(tmp_path / "in.vob"))
    begins = {}
    for item in source:
        payload = item.payload if isinstance(item, Packet) else item
        begins.setdefault(type(item).__name__, payload.pts * payload.time_base)
    source.close()
    assert begins["Frame"] > 0.1
    assert abs(begins["Frame"] - begins["Packet"]) < 0.05
