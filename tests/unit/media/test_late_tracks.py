"""Tracks of broadcasts that begin after the part FFmpeg looks at."""

import os
import threading
from fractions import Fraction

import av
import numpy as np
import pytest
from media import instants, join_files

from malle_rt import denoise_video
from malle_rt.config import DenoiseConfig
from malle_rt.media.file_sink import FileSink
from malle_rt.media.file_source import FileSource
from malle_rt.media.transport_watch import TransportWatch

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


@pytest.mark.parametrize(("sound_from", "kept"), [(10, True), (30, False)])
def test_through_a_pipe_late_sound_is_kept_or_said(tmp_path, caplog, sound_from, kept):
    path = write_broadcast(tmp_path / "in.ts", seconds=sound_from + 1, sound_from=sound_from)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    feeding = threading.Thread(target=lambda: pipe.write_bytes(path.read_bytes()))
    feeding.start()
    try:
        denoise_video(pipe, tmp_path / "out.mkv", config=PLAIN)
    finally:
        feeding.join(10)
    said = [record.message for record in caplog.records if "does not show its format" in record.message]
    assert bool(said) != kept
    assert len(sound_of(tmp_path / "out.mkv")) == kept


def through_a_pipe(path, pipe):
    """A named pipe that a thread writes the file into."""
    os.mkfifo(pipe)
    thread = threading.Thread(target=lambda: pipe.write_bytes(path.read_bytes()), daemon=True)
    thread.start()
    return thread


@pytest.mark.slow
@pytest.mark.parametrize("joined", [True, False])
def test_a_track_that_a_pipe_announces_late_is_said(tmp_path, joined, caplog):
    first = write_broadcast(tmp_path / "a.ts", seconds=150, sound_from=None)
    second = write_broadcast(tmp_path / "b.ts", seconds=1, sound_from=0.1)
    path = join_files(tmp_path / "ab.ts", [first, second]) if joined else first
    thread = through_a_pipe(path, tmp_path / "pipe.ts")
    denoise_video(tmp_path / "pipe.ts", tmp_path / "out.mkv", config=PLAIN)
    thread.join(5)
    said = [each for each in caplog.messages if "is left out: a pipe is looked at once only" in each]
    assert len(said) == joined
    assert not said or "a track of sound (id 0x101)" in said[0]
    assert not sound_of(tmp_path / "out.mkv")


def test_anything_may_go_by_on_a_pipe(tmp_path):
    data = write_broadcast(tmp_path / "a.ts", seconds=1, sound_from=0.1).read_bytes()[: 188 * 40]
    watch = TransportWatch()
    for start in range(0, len(data), 100):  # in pieces of any size
        watch.see(data[start : start + 100])
    assert watch.tracks == {0x100: "video", 0x101: "sound"}
    for place in range(0, len(data), 3):
        TransportWatch().see(data[:place] + bytes([data[place] ^ 0xA5]) + data[place + 1 :])
    other = TransportWatch()
    other.see(b"\x1a\x45\xdf\xa3" + data)
    assert not other.tracks
