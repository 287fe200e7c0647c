"""Tracks of broadcasts that begin after the part FFmpeg looks at."""

import os
import threading
from fractions import Fraction

import av
import numpy as np
import pytest
from helpers.addresses import sent, served
from media import instants, join_files

from malle_rt import denoise_video
from malle_rt.config import DenoiseConfig
from malle_rt.errors import PipelineError
from malle_rt.media import opening
from malle_rt.media.file_sink import FileSink
from malle_rt.media.file_source import FileSource
from malle_rt.media.track_watch import TrackWatch

PLAIN = DenoiseConfig(strength=0)
RATE = Fraction(25)


def write_broadcast(path, *, seconds, sound_from, codec="mp2", form=None, sound_for=0.5):
    """Video from 0 on, and sound later; None: no sound."""
    with av.open(str(path), "w", format=form) as container:
        video = container.add_stream("mpeg2video", rate=RATE)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = container.add_stream(codec, rate=48000) if sound_from is not None else None
        picture = av.VideoFrame.from_ndarray(np.full((72, 64), 90, np.uint8), format="yuv420p")
        for index in range(int(seconds * RATE)):
            picture.pts, picture.time_base = index, 1 / RATE
            container.mux(video.encode(picture))
        container.mux(video.encode())
        if audio is not None:
            size = audio.codec_context.frame_size
            for index in range(int(48000 * sound_for) // size):
                frame = av.AudioFrame(audio.codec_context.format.name, "stereo", size)
                for plane in frame.planes:
                    plane.update(bytes(plane.buffer_size))
                frame.sample_rate, frame.pts = 48000, int(sound_from * 48000) + index * size
                frame.time_base = Fraction(1, 48000)
                container.mux(audio.encode(frame))
            container.mux(audio.encode())
    return path


def sound_of(path):
    """(codec, first and last instant) of each sound track."""
    with av.open(str(path)) as container:
        codecs = [stream.codec_context.name for stream in container.streams.audio]
    times = [[float(each) for each in instants(path, "audio", number)] for number in range(len(codecs))]
    return [(codec, min(all_), max(all_)) for codec, all_ in zip(codecs, times, strict=True)]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["mpegts", "vob"])
@pytest.mark.parametrize("name", ["out.mkv", "out.mp4", "out.ts"])
def test_sound_that_begins_late_is_kept(tmp_path, form, name, caplog):
    path = write_broadcast(tmp_path / "in.ts", seconds=11, sound_from=10, form=form)
    denoise_video(path, tmp_path / name, config=PLAIN)
    ((codec, first, last),) = sound_of(tmp_path / name)
    begin = 0 if name != "out.ts" else sound_of(path)[0][1] - 10
    assert codec.startswith("mp")  # MP4 does not tell mp2 from mp3
    assert 9.9 < first - begin < 10.1
    assert 10.3 < last - begin < 10.6
    assert not any("left out" in record.message for record in caplog.records)


def test_aac_that_begins_late_is_kept_in_mp4(tmp_path):
    path = write_broadcast(tmp_path / "in.ts", seconds=11, sound_from=10, codec="aac")
    denoise_video(path, tmp_path / "out.mp4", config=PLAIN)
    assert [codec for codec, *_ in sound_of(tmp_path / "out.mp4")] == ["aac"]


@pytest.mark.parametrize("live", [False, True])
def test_a_file_that_breaks_off_has_aac_that_began_after_its_header(tmp_path, live):
    path = write_broadcast(tmp_path / "in.ts", seconds=7, sound_from=2.5, sound_for=4, codec="aac")
    source = FileSource(path)
    sink = FileSink(tmp_path / "out.mp4", source, live=live)
    for item in source:
        sink.write(item)
    source.close()
    assert sink.leave()  # as when the process is killed
    with av.open(str(sink.path)) as container:
        sound = container.streams.audio[0].codec_context
        assert (sound.name, sound.sample_rate, sound.layout.nb_channels) == ("aac", 48000, 2)
        frames = list(container.decode(audio=0))
    assert sum(frame.samples for frame in frames) > 2 * 48000
    assert 2.4 < frames[0].time < 2.7


def test_sound_that_a_second_recording_brings_is_kept(tmp_path):
    parts = [
        write_broadcast(tmp_path / "a.ts", seconds=2, sound_from=None),
        write_broadcast(tmp_path / "b.ts", seconds=2, sound_from=0.5),
    ]
    denoise_video(join_files(tmp_path / "in.ts", parts), tmp_path / "out.mkv", config=PLAIN)
    ((_, first, _),) = sound_of(tmp_path / "out.mkv")
    assert 2.4 < first < 2.6


@pytest.mark.slow
def test_sound_of_a_middle_part_only_is_said(tmp_path, caplog):
    silent = write_broadcast(tmp_path / "a.ts", seconds=20, sound_from=None)
    loud = write_broadcast(tmp_path / "b.ts", seconds=10, sound_from=0.5)
    empty = (
        tmp_path / "null.ts"
    )  # packets that hold nothing, so that FFmpeg's look at the end sees no sound either
    empty.write_bytes((b"\x47\x1f\xff\x10" + b"\xff" * 184) * 5000)
    whole = join_files(tmp_path / "in.ts", [silent, loud, empty, silent])
    denoise_video(whole, tmp_path / "out.mkv", config=PLAIN)
    assert any("middle part of the input" in record.message for record in caplog.records)
    assert len(instants(tmp_path / "out.mkv")) == 50 * RATE


def left_out(caplog):
    """What is said of tracks that are lost."""
    return [each for each in caplog.messages if "is left out" in each]


def through_a_pipe(path, pipe):
    """A named pipe that a thread writes the file into."""
    os.mkfifo(pipe)
    thread = threading.Thread(target=lambda: pipe.write_bytes(path.read_bytes()), daemon=True)
    thread.start()
    return thread


@pytest.mark.slow
@pytest.mark.parametrize("form", ["mpegts", "vob"])
@pytest.mark.parametrize(("sound_from", "kept"), [(10, True), (30, False)])
def test_through_a_pipe_late_sound_is_kept_or_said(tmp_path, caplog, form, sound_from, kept):
    path = write_broadcast(tmp_path / "in.ts", seconds=sound_from + 1, sound_from=sound_from, form=form)
    feeding = through_a_pipe(path, tmp_path / "pipe")
    denoise_video(tmp_path / "pipe", tmp_path / "out.mkv", config=PLAIN)
    feeding.join(10)
    assert bool(left_out(caplog)) != kept
    assert len(sound_of(tmp_path / "out.mkv")) == kept


@pytest.mark.slow
@pytest.mark.parametrize("joined", [True, False])
def test_a_track_that_a_pipe_announces_late_is_said(tmp_path, joined, caplog):
    first = write_broadcast(tmp_path / "a.ts", seconds=150, sound_from=None)
    second = write_broadcast(tmp_path / "b.ts", seconds=1, sound_from=0.1)
    path = join_files(tmp_path / "ab.ts", [first, second]) if joined else first
    thread = through_a_pipe(path, tmp_path / "pipe.ts")
    denoise_video(tmp_path / "pipe.ts", tmp_path / "out.mkv", config=PLAIN)
    thread.join(5)
    said = left_out(caplog)
    assert len(said) == joined
    assert not said or "a track of sound (id 0x101)" in said[0]
    assert not sound_of(tmp_path / "out.mkv")


@pytest.mark.slow
@pytest.mark.parametrize("form", ["mpegts", "vob"])
@pytest.mark.parametrize("with_size", [True, False])
def test_late_sound_of_a_server_is_kept_or_said(tmp_path, caplog, form, with_size):
    path = write_broadcast(tmp_path / "in.ts", seconds=41, sound_from=40, form=form)
    with served(path, with_size=with_size) as address:
        denoise_video(address, tmp_path / "out.mkv", config=PLAIN)
    assert bool(left_out(caplog)) != with_size  # what has no end can be looked at once only
    found = sound_of(tmp_path / "out.mkv")
    assert len(found) == with_size
    assert not found or 39.9 < found[0][1] < 40.1


@pytest.mark.slow
def test_a_track_that_udp_announces_late_is_said(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(opening, "_NETWORK_TIMEOUT", (10.0, 0.5))
    first = write_broadcast(tmp_path / "a.ts", seconds=60, sound_from=None)
    second = write_broadcast(tmp_path / "b.ts", seconds=1, sound_from=0.1)
    with sent(join_files(tmp_path / "ab.ts", [first, second]).read_bytes()) as address:
        denoise_video(address, tmp_path / "out.mkv", config=PLAIN)
    (said,) = left_out(caplog)
    assert "a track of sound (id 0x101) that begins at about 60 s" in said


@pytest.mark.slow
def test_packets_that_udp_loses_are_said(tmp_path):
    path = write_broadcast(tmp_path / "in.ts", seconds=20, sound_from=0)
    data = path.read_bytes()
    pieces = [data[at : at + 1316] for at in range(0, len(data), 1316)]
    with sent(b"".join(piece for number, piece in enumerate(pieces) if number % 40 != 20)) as address:
        report = denoise_video(address, tmp_path / "out.mkv", config=PLAIN, duration=18)
    assert any("lost on the way" in line for line in report.losses)


def test_a_stream_that_falls_silent_keeps_what_came(tmp_path, monkeypatch):
    monkeypatch.setattr(opening, "_NETWORK_TIMEOUT", (10.0, 0.5))
    path = write_broadcast(tmp_path / "in.ts", seconds=3, sound_from=0)
    with sent(path.read_bytes()) as address:
        report = denoise_video(address, tmp_path / "out.mkv", config=PLAIN)
    assert report.losses == (
        "the input stopped in the middle: nothing came any more, what came before is kept",
    )
    assert len(instants(tmp_path / "out.mkv")) > 2.8 * RATE
    with sent(path.read_bytes()) as address, pytest.raises(PipelineError, match="stopped in the middle"):
        denoise_video(address, tmp_path / "strict.mkv", config=PLAIN, strict=True)


@pytest.mark.parametrize("name", ["out.mkv", "out.mp4"])
def test_damaged_aac_does_not_end_the_file(tmp_path, caplog, name):
    path = write_broadcast(tmp_path / "in.ts", seconds=3, sound_from=0, sound_for=3, codec="aac")
    data = bytearray(path.read_bytes())
    for at in range(0, len(data), 188):  # every other packet that sound begins in
        number = (data[at + 1] & 0x1F) << 8 | data[at + 2]
        if number == 0x101 and data[at + 1] & 0x40 and at // 188 % 2:
            begin = data.find(b"\xff\xf1", at)
            data[begin : begin + 7] = b"\xff\xf1\xff\xff\x00\x00\x00"
    path.write_bytes(data)
    denoise_video(path, tmp_path / name, config=PLAIN)
    with av.open(str(tmp_path / name)) as container:
        assert sum(frame.samples for frame in container.decode(audio=0)) > 0
    assert len(instants(tmp_path / name)) == 3 * RATE
    assert sum("damaged AAC sound" in each for each in caplog.messages) == 1


def test_anything_may_go_by_on_a_pipe(tmp_path):
    data = write_broadcast(tmp_path / "a.ts", seconds=1, sound_from=0.1).read_bytes()[: 188 * 40]
    watch = TrackWatch()
    for start in range(0, len(data), 100):  # in pieces of any size
        watch.see(data[start : start + 100])
    assert watch.tracks == {0x100: "video", 0x101: "sound"}
    for place in range(0, len(data), 3):
        TrackWatch().see(data[:place] + bytes([data[place] ^ 0xA5]) + data[place + 1 :])
    other = TrackWatch()
    other.see(b"\x1a\x45\xdf\xa3" + data)
    assert not other.tracks


def test_a_program_stream_may_come_in_any_pieces(tmp_path):
    data = write_broadcast(
        tmp_path / "a.mpg", seconds=1, sound_from=0.1, codec="ac3", form="vob"
    ).read_bytes()
    for size in (1, 7, 100, len(data)):
        watch = TrackWatch()
        for start in range(0, len(data), size):
            watch.see(data[start : start + size])
        assert watch.tracks == {0x1E0: "video", 0x80: "sound"}
    for place in range(0, len(data), 101):
        TrackWatch().see(data[:place] + bytes([data[place] ^ 0xA5]) + data[place + 1 :])
