"""A part of a video's encoded picture in a file of its own, and the joining of such parts by copying their packets.

Each part comes from an encoder of the same settings that began anew: its first picture needs none before it, and none
of its pictures needs one behind it. What an encoder of B pictures says of decoding times it says for itself alone; for
all parts together they are counted anew.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import struct
import zlib
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import OutputContainer

from malle_rt.errors import ConfigError, SinkError
from malle_rt.frame import Frame, Packet
from malle_rt.media.compat import exact
from malle_rt.media.encode_config import ALPHA_BESIDE, EncodeConfig
from malle_rt.media.file_sink import FileSink
from malle_rt.media.file_source import FileSource
from malle_rt.media.output_streams import OutputStreams, create_container
from malle_rt.media.pixel_formats import has_alpha
from malle_rt.media.template import Template
from malle_rt.media.window import instant_of

__all__ = ["UNSPLIT", "PacketIndex", "SegmentFile", "SegmentSink", "join_segments", "open_encoder"]

UNSPLIT = 'Leave out resume=True, jobs=N and gpu="all"'  # advice where segments are of no use
_MAGIC = b"malle-rt segment 1\n"
_TAIL = struct.Struct("<II")  # bytes of the index, and the checksum of all before the tail
_BLOCK = 1 << 20
# Side data without which a packet is not what the encoder gave.
_NEEDED = ("matroska_blockadditional", "new_extradata")


@dataclass(frozen=True)
class PacketIndex:
    """What a file says of its packets, in the order of decoding.

    Attributes:
        time_base: of their times, as a text.
        extradata: what the encoder says once for all, in hex digits.
        frames: number of pictures.
        packets: (pts, dts, duration, 1 for a key picture, bytes) of each.
    """

    time_base: str
    extradata: str
    frames: int
    packets: list[tuple[int, int | None, int, int, int]]


class SegmentSink:
    """Encodes frames into a segment's file, which appears whole or not at all.

    Attributes:
        frames: that it has taken.
    """

    def __init__(
        self,
        path: Path,
        template: Template,
        config: EncodeConfig,
        output: Path,
        *,
        before: Sequence[Fraction] = (),
        skip_before: int | None = None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        """Open the encoder.

        Args:
            path: of the segment's file.
            template: what the whole source is.
            config: encoder settings.
            output: the video of which this will be a part: its container tells the encoder some things.
            before: instants of the frames of the video before this segment, in seconds.
            skip_before: frames with an earlier pts are not encoded.
            stopped: asked by ``finish`` whether frames are missing; then no file appears.

        Raises:
            ConfigError: the container, the encoder and the settings do not fit together, or cannot be split.
        """
        self.frames = 0
        self._path, self._skip_before, self._stopped = path, skip_before, stopped
        self._container, self._streams = open_encoder(path, template, config, output)
        shift = self._streams.shift
        self._streams.encoder.follow(instant - shift for instant in before)
        self._packets: list[tuple[int, int | None, int, int, int]] = []
        self._time_base = ""
        # Processes of several machines may have the same number.
        self._partial = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
        self._file = self._guarded(lambda: self._partial.open("wb"))
        self._checksum = 0
        self._put(_MAGIC)

    def write(self, item: Frame | Packet) -> None:
        """Encode a frame.

        Raises:
            SinkError: the disk is full.
        """
        if isinstance(item, Packet) or (self._skip_before is not None and item.pts < self._skip_before):
            return
        shift = self._streams.shift
        frame = replace(item, pts=item.pts - round(shift / item.time_base)) if shift else item
        self._take(self._streams.encoder.encode(frame))
        self.frames += 1

    def finish(self) -> None:
        """Let the file appear, on the disk and not only in memory.

        Raises:
            SinkError: the disk is full, or the encoder gives what cannot be split.
        """
        if self._stopped():
            self.abort()
            return
        self._take(self._streams.encoder.flush())
        if len(self._packets) != self.frames:
            raise SinkError(
                f"the encoder gave {len(self._packets)} packets for {self.frames} frames, which cannot be joined",
                hint=f"{UNSPLIT}, or use another codec",
            )
        context = self._streams.encoder.stream.codec_context
        index = PacketIndex(
            self._time_base, bytes(context.extradata or b"").hex(), self.frames, self._packets
        )
        text = json.dumps(asdict(index)).encode()
        self._put(text)
        tail = _TAIL.pack(len(text), self._checksum)

        def end() -> None:
            self._file.write(tail)
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._partial.replace(self._path)

        self._guarded(end)
        self._container.close()

    def abort(self) -> None:
        """Leave nothing. May be called twice."""
        self._file.close()
        self._partial.unlink(missing_ok=True)
        self._container.close()

    def _take(self, packets: Sequence[av.Packet[Any]]) -> None:
        for packet in packets:
            kinds = {each.data_type for each in packet.iter_sidedata()}
            if not kinds.isdisjoint(_NEEDED):
                raise SinkError(
                    "the encoder says something beside its packets, which cannot be joined",
                    hint=f"{UNSPLIT}, or use another codec",
                )
            assert packet.pts is not None
            self._time_base = str(exact(packet.time_base or 1))
            data = bytes(packet)
            duration = int(packet.duration or 0)
            self._packets.append((packet.pts, packet.dts, duration, int(packet.is_keyframe), len(data)))
            self._put(data)

    def _put(self, data: bytes) -> None:
        self._checksum = zlib.crc32(data, self._checksum)
        self._guarded(lambda: self._file.write(data))

    def _guarded(self, step: Callable[[], Any]) -> Any:
        try:
            return step()
        except OSError as exc:
            reason = "the disk is full" if exc.errno == errno.ENOSPC else exc.strerror
            raise SinkError(
                f"{self._path}: {reason}. Free some space; the same command then goes on"
            ) from exc


def open_encoder(
    path: Path, template: Template, config: EncodeConfig, output: Path
) -> tuple[OutputContainer, OutputStreams]:
    """An encoder for a segment, and the container it belongs to, which is never written: only its kind matters.

    Args and errors as of ``SegmentSink``.
    """
    container = create_container(path.with_name(f"scratch{output.suffix}"), output, {})
    streams = OutputStreams(container, replace(template, others=(), late={}), config)
    if config.codec in ALPHA_BESIDE and has_alpha(streams.encoder.stream.codec_context.pix_fmt or ""):
        raise ConfigError(f"{config.codec} with transparency cannot be made in segments", hint=UNSPLIT)
    return container, streams


class SegmentFile:
    """A segment that is done.

    Attributes:
        index: what it holds.
    """

    def __init__(self, path: Path) -> None:
        """Read it once, to see that it is whole.

        Raises:
            OSError: it is not there, cannot be read, or is not what a ``SegmentSink`` wrote.
        """
        self._path = path
        size = path.stat().st_size - _TAIL.size
        with path.open("rb") as file:
            checksum, left = 0, size
            while left > 0 and (block := file.read(min(_BLOCK, left))):
                checksum = zlib.crc32(block, checksum)
                left -= len(block)
            tail = file.read(_TAIL.size)
            if left or len(tail) != _TAIL.size or _TAIL.unpack(tail)[1] != checksum:
                raise OSError(f"{path} is damaged")
            length = _TAIL.unpack(tail)[0]
            file.seek(size - length)
            found = json.loads(file.read(length))
        self.index = PacketIndex(**{**found, "packets": [tuple(each) for each in found["packets"]]})

    def data(self) -> Iterator[bytes]:
        """Of each packet."""
        with self._path.open("rb") as file:
            file.seek(len(_MAGIC))
            for *_, size in self.index.packets:
                yield file.read(size)


def join_segments(
    sink: FileSink,
    source: FileSource,
    segments: Sequence[SegmentFile],
    instants: Sequence[Fraction],
    stopped: Callable[[], bool] = lambda: False,
) -> bool:
    """Write all segments and the source's other tracks into a sink, in the order of their times; it is not finished.

    Args:
        sink: opened with the settings of the segments.
        source: just opened.
        segments: in their order.
        instants: of all frames, in seconds of the source's clock.
        stopped: asked now and then whether to give up.

    Returns:
        False where it was given up.

    Raises:
        SinkError: encoders did not say the same once for all, the disk is full, or the muxer refuses.
    """
    for number, segment in enumerate(segments):
        if segment.index.extradata != sink.extradata.hex():
            raise SinkError(
                f"segment {number} comes from an encoder of another version or with another header, and cannot be "
                "joined. Delete the folder of the segments, and run again"
            )
    own = _packets(segments, [instant - sink.shift for instant in instants])
    ready = next(own, None)
    for item in source.packets():
        if stopped():
            return False
        now = instant_of(item.payload) if isinstance(item.payload, av.Packet) else None
        while ready is not None and now is not None and ready[2] <= now - sink.shift:
            sink.write_encoded(ready[0], ready[1])
            ready = next(own, None)
        sink.write(item)
    while ready is not None:
        if stopped():
            return False
        sink.write_encoded(ready[0], ready[1])
        ready = next(own, None)
    return True


def _packets(
    segments: Sequence[SegmentFile], instants: Sequence[Fraction]
) -> Iterator[tuple[av.Packet[Any], Sequence[Fraction], Fraction]]:
    """Every packet, the instants of as many frames, and its decoding time in seconds."""
    order = [packet[0] for segment in segments for packet in segment.index.packets]
    shown = sorted(order)
    # By how many places the decoder is ahead: a picture is decoded at the time of the one so many before it.
    ahead = max((number - bisect_left(shown, pts) for number, pts in enumerate(order)), default=0)
    # Some encoders are so by more than their pictures need.
    first = segments[0].index.packets[0]
    own = first[0] - first[1] if first[1] is not None else 0
    ahead = max(ahead, next((n for n, pts in enumerate(shown) if pts - shown[0] >= own), 0))
    number = 0
    for segment in segments:
        unit = Fraction(segment.index.time_base)
        for (pts, _, duration, key, _), data in zip(segment.index.packets, segment.data(), strict=True):
            packet: av.Packet[Any] = av.Packet(data)
            dts = shown[number - ahead] if number >= ahead else shown[0] - (shown[ahead] - shown[number])
            packet.pts, packet.dts, packet.duration, packet.time_base = pts, dts, duration, unit
            packet.is_keyframe = bool(key)
            yield packet, instants[number : number + 1], dts * unit
            number += 1
