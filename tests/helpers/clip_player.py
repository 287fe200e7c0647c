"""A clip (H.264 and AAC in MPEG-TS) again and again, at its own pace."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av


@dataclass(frozen=True)
class Piece:
    """A packet of the clip: its track, its data, and seconds since the beginning of the first pass."""

    kind: str
    data: bytes
    pts: float
    dts: float
    keyframe: bool


def pieces(clip: Path) -> Iterator[Piece]:
    """The clip's packets for ever, each when it is due."""
    began, offset = time.monotonic(), 0.0
    while True:
        end = 0.0
        with av.open(str(clip)) as container:
            zero = container.start_time / 1_000_000
            for packet in container.demux():
                if not packet.size or packet.dts is None:
                    continue
                unit = float(packet.time_base)
                pts, dts = packet.pts * unit - zero, packet.dts * unit - zero
                if packet.stream.type == "video":
                    end = max(end, dts + packet.duration * unit)
                    time.sleep(max(0.0, began + offset + dts - time.monotonic()))
                yield Piece(packet.stream.type, bytes(packet), offset + pts, offset + dts, packet.is_keyframe)
        offset += end


def send_transport_stream(clip: Path, target) -> None:
    """Write the clip as MPEG-TS to a URL or a file object until that fails."""
    with (
        av.open(str(clip)) as pattern,
        av.open(target, "w", format="mpegts", options={"flush_packets": "1"}) as output,
    ):
        tracks = {stream.type: output.add_stream_from_template(stream) for stream in pattern.streams}
        for piece in pieces(clip):
            packet = av.Packet(piece.data)
            packet.stream = tracks[piece.kind]
            packet.time_base = packet.stream.time_base
            packet.pts, packet.dts = (round(t / float(packet.time_base)) for t in (piece.pts, piece.dts))
            packet.is_keyframe = piece.keyframe
            output.mux(packet)
