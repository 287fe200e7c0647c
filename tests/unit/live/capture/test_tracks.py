import threading
from fractions import Fraction

import av
from helpers.streams import write_stream_clip

from malle_rt.live.capture.device import CaptureRequest
from malle_rt.live.capture.splice import HeldTracks, matching_tracks
from malle_rt.live.capture.stream import StreamCapture
from malle_rt.media.carrying import add_carried


def held(path):
    with av.open(str(path)) as container:
        tracks = HeldTracks(container, container.streams.video[0], "clip")
        packets = [tracks.packet(packet, Fraction(0)) for packet in container.demux() if packet.size]
    return tracks, [packet for packet in packets if packet is not None]


def test_sound_outlives_its_input(tmp_path):
    tracks, packets = held(write_stream_clip(tmp_path / "clip.ts"))
    copied = tmp_path / "sound.mkv"

    def record():
        with av.open(str(copied), "w") as output:
            carried = {stream.index: add_carried(output, stream, stream.index) for stream in tracks.others}
            for packet in packets:
                output.mux(carried[packet.track].packets(packet.payload, Fraction(0)))

    thread = threading.Thread(target=record)
    thread.start()
    thread.join(10)
    with av.open(str(copied)) as container:
        sound = container.streams.audio[0]
        assert (sound.codec_context.name, sound.codec_context.sample_rate) == ("aac", 48000)
        assert sum(frame.samples for frame in container.decode(sound)) >= 4 * 48000


def test_packets_can_be_moved(tmp_path):
    path = write_stream_clip(tmp_path / "clip.ts", frames=10)
    with av.open(str(path)) as container:
        tracks = HeldTracks(container, container.streams.video[0], "clip")
        packet = next(iter(container.demux(container.streams.audio[0])))
        moved = tracks.packet(packet, Fraction(2))
        assert moved.payload.pts - packet.pts == moved.payload.dts - packet.dts == 180000
        assert tracks.packet(next(iter(container.demux(container.streams.video[0]))), Fraction(0)) is None


def test_pictures_of_ffmpegs_own_are_not_copied():
    capture = StreamCapture(CaptureRequest(device="lavfi:sine=duration=1[out0];testsrc2=duration=1[out1]"))
    capture.close()
    assert capture.template.video is None
    assert [stream.index for stream in capture.template.others] == [1]


def test_tracks_are_matched_by_their_parameters(tmp_path):
    first, _ = held(write_stream_clip(tmp_path / "a.ts", frames=5))
    same, _ = held(write_stream_clip(tmp_path / "b.ts", frames=5))
    other, _ = held(write_stream_clip(tmp_path / "c.ts", frames=5, sample_rate=44100))
    assert matching_tracks(first.others, same.others) == {1: 1}
    assert matching_tracks(first.others, other.others) == {}
