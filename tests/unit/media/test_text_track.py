"""Text subtitles go from one kind of container into another with their words and times."""

from fractions import Fraction

import av
import pytest

from malle_rt import denoise_video
from malle_rt.config import DenoiseConfig
from tests.media import write_film

PLAIN = DenoiseConfig(backend="none")


def texts(path):
    """(codec, [(start, seconds, words)]) of a file's subtitles."""
    with av.open(str(path)) as container:
        track = container.streams.subtitles[0]
        found = []
        for packet in container.demux(track):
            lines = track.decode(packet) if packet.size > 2 else []
            if lines:
                unit = packet.time_base
                words = lines[0].dialogue.decode()
                found.append((packet.pts * unit, packet.duration * unit, words))
        return track.codec_context.name, found


@pytest.mark.parametrize(
    ("target", "codec"), [("out.mp4", "mov_text"), ("out.mov", "mov_text"), ("out.webm", "webvtt")]
)
def test_text_is_converted_and_back(tmp_path, target, codec, caplog):
    write_film(tmp_path / "in.mkv", frames=30)
    denoise_video(tmp_path / "in.mkv", tmp_path / target, config=PLAIN)
    assert any(f"they are converted to {codec}" in record.message for record in caplog.records)
    denoise_video(tmp_path / target, tmp_path / "back.mkv", config=PLAIN)
    for path, name in ((tmp_path / target, codec), (tmp_path / "back.mkv", None)):
        kind, found = texts(path)
        assert name in (None, kind)
        assert [words for _, _, words in found] == ["Hello", "there"]
        for (start, seconds, _), (right, long) in zip(found, ((100, 400), (600, 300)), strict=True):
            assert abs(start - Fraction(right, 1000)) < Fraction(1, 40)
            assert abs(seconds - Fraction(long, 1000)) < Fraction(1, 100)


@pytest.mark.parametrize("target", ["out.ts", "out.mpg", "out.vob"])
def test_text_that_would_be_read_as_something_else_is_left_out_and_said(tmp_path, target, caplog):
    write_film(tmp_path / "in.mkv", frames=30)
    denoise_video(tmp_path / "in.mkv", tmp_path / target, config=PLAIN)
    assert any("subtitle" in said and "is left out" in said and ".mkv" in said for said in caplog.messages)
    with av.open(str(tmp_path / target)) as container:
        assert {stream.type for stream in container.streams} == {"video", "audio"}
