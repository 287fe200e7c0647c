"""Test clips, made on the fly: each frame carries its own index, so loss, swap and repeat are visible."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from malle_rt.frame import Frame, Packet, pixel_layout
from malle_rt.media.interlacing import FieldMarker
from malle_rt.media.planes import new_video_frame
from malle_rt.media.synthetic import SyntheticSource, read_index

NTSC = Fraction(30000, 1001)
FRAME_DURATION_FLAG = 1 << 8


def write_clip(
    path: Path,
    *,
    frames: int = 12,
    size: tuple[int, int] = (64, 48),
    fps: Fraction = NTSC,
    codec: str = "ffv1",
    pix_fmt: str = "yuv420p",
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    options: dict[str, str] | None = None,
    setup: Callable[[av.VideoStream], None] | None = None,
    first_index: int = 0,
) -> Path:
    """A clip of ``SyntheticSource`` pictures; FFV1 in .nut keeps every pixel and pts exactly."""
    source = SyntheticSource(first_index + frames, size, fps, pix_fmt)
    pictures = [source.clean(first_index + index).planes for index in range(frames)]
    return write_planes(
        path,
        pictures,
        pix_fmt,
        fps=fps,
        codec=codec,
        pts=pts,
        time_base=time_base,
        options=options,
        setup=setup,
    )


def write_planes(
    path,
    pictures,
    pix_fmt,
    *,
    fps=NTSC,
    codec="ffv1",
    pts=None,
    time_base=None,
    options=None,
    setup=None,
    encode_as=None,
    fields=None,
):
    """Encode given planes; ``encode_as`` converts them to another pix_fmt first (rgb, nv12, gray ...).

    ``fields``: "top", "bottom" or None of each picture.
    """
    marker = FieldMarker()
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps, options=options or {})
        stream.height, stream.width = pictures[0][0].shape
        stream.pix_fmt = encode_as or pix_fmt
        stream.codec_context.time_base = time_base or 1 / fps
        stream.codec_context.flags |= FRAME_DURATION_FLAG
        if setup is not None:
            setup(stream)
        for index, planes in enumerate(pictures):
            picture = new_video_frame(planes, pix_fmt)
            if encode_as is not None:
                picture = picture.reformat(format=encode_as)
            if fields is not None and fields[index] is not None:
                picture = marker.marked(picture, fields[index])
            picture.pts = index if pts is None else pts[index]
            picture.time_base = time_base or 1 / fps
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def write_film(path: Path, *, frames: int = 30, fps: Fraction = Fraction(25), language: str = "deu") -> Path:
    """Video, two audio tracks, a subtitle track (.mkv only), chapters and metadata."""
    source = SyntheticSource(frames, (64, 48), fps)
    with av.open(str(path), "w") as container:
        container.metadata.update({"title": "A film", "artist": "malle"})
        video = container.add_stream("libx264", rate=fps, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.metadata["title"] = "main picture"
        audio = [container.add_stream("aac", rate=48000) for _ in range(2)]
        for stream, tongue in zip(audio, (language, "fra"), strict=True):
            stream.metadata["language"] = tongue
        subtitles = (
            container.add_stream_from_template(_srt(path.with_suffix(".srt")).streams[0])
            if path.suffix == ".mkv"
            else None
        )
        if subtitles is not None:
            subtitles.metadata["language"] = language
        seconds = frames / fps
        container.set_chapters(
            [
                {
                    "id": 1,
                    "start": 0,
                    "end": 400,
                    "time_base": Fraction(1, 1000),
                    "metadata": {"title": "one"},
                },
                {
                    "id": 2,
                    "start": 400,
                    "end": int(seconds * 1000),
                    "time_base": Fraction(1, 1000),
                    "metadata": {"title": "two"},
                },
            ],
        )
        for frame in source:
            container.mux(video.encode(to_picture(frame)))
        container.mux(video.encode())
        for number, stream in enumerate(audio):
            for packet in _tone(stream, seconds, 300 + 200 * number):
                container.mux(packet)
        if subtitles is not None:
            with _srt(path.with_suffix(".srt")) as lines:
                for packet in lines.demux():
                    if packet.size:
                        packet.stream = subtitles
                        container.mux(packet)
    return path


def join_files(target: Path, parts: Sequence[Path]) -> Path:
    """The parts end to end, byte for byte: what a recorder leaves after a change of programme."""
    target.write_bytes(b"".join(part.read_bytes() for part in parts))
    return target


def damage(path: Path, *, start: float, length: int) -> Path:
    """Overwrite ``length`` bytes with noise, from the given fraction of the file on."""
    data = bytearray(path.read_bytes())
    begin = int(len(data) * start)
    data[begin : begin + length] = np.random.default_rng(0).bytes(length)
    path.write_bytes(data)
    return path


def truncate(path: Path, share: float) -> Path:
    """Keep the first ``share`` of a file."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def to_picture(frame: Frame) -> av.VideoFrame:
    """A frame for an encoder."""
    picture = new_video_frame(frame.planes, frame.pix_fmt)
    picture.pts, picture.time_base = frame.pts, frame.time_base
    return picture


def read_frames(source) -> tuple[list[Frame], list[Packet]]:
    """Everything a source gives."""
    items = list(source)
    return [i for i in items if isinstance(i, Frame)], [i for i in items if isinstance(i, Packet)]


def indices(frames: Sequence[Frame]) -> list[int]:
    """The index each frame carries."""
    return [read_index(frame) for frame in frames]


def instants(path: Path, kind: str = "video", number: int = 0) -> list[Fraction]:
    """Presentation times of a track's packets in seconds, sorted."""
    with av.open(str(path)) as container:
        stream = getattr(container.streams, kind)[number]
        return sorted(
            p.pts * p.time_base for p in container.demux(stream) if p.pts is not None and not p.is_discard
        )


def random_planes(pix_fmt: str, size: tuple[int, int], seed: int = 0):
    """Noise in every sample over the whole range of the format."""
    layout = pixel_layout(pix_fmt)
    rng = np.random.default_rng(seed)
    return tuple(
        rng.integers(0, 1 << layout.bits, shape, dtype=layout.dtype) for shape in layout.plane_shapes(*size)
    )


def _tone(stream, seconds: Fraction, hertz: int):
    """AAC packets of a sine."""
    for block in range(int(seconds * 48000) // 1024):
        t = (np.arange(1024) + block * 1024) / 48000
        wave = np.repeat(np.sin(2 * np.pi * hertz * t)[None], 2, axis=0).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48000, block * 1024, Fraction(1, 48000)
        yield from stream.encode(frame)
    yield from stream.encode()


def _srt(path: Path):
    path.write_text("1\n00:00:00,100 --> 00:00:00,500\nHello\n\n2\n00:00:00,600 --> 00:00:00,900\nthere\n")
    return av.open(str(path))
