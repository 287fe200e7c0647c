"""A stereo clip as phones write it (MV-HEVC): HEVC with a second layer for the other eye.

No encoder here writes two layers. The parameters are those of two (ITU-T H.265, F.7.3.2.1), and each picture of the
first layer stands in the second one, too: enough for all that a decoder makes of the first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from media import to_picture

from malle_rt.media.synthetic import SyntheticSource

_START = re.compile(b"\x00\x00\x00?\x01")
_PARAMETERS = 32  # kind of the unit that says how many layers there are; below it are pictures
_RATE = Fraction(25)


def write_two_layers(path: Path, *, frames: int = 6, size: tuple[int, int] = (64, 64)) -> Path:
    """A MOV or MP4 of two layers."""
    raw = path.with_suffix(".hevc")
    raw.write_bytes(b"".join(_with_second(packet, size) for packet in _encoded(frames, size)))
    with av.open(str(raw)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for index, packet in enumerate(packet for packet in source.demux() if packet.size):
            packet.stream, packet.time_base = stream, 1 / _RATE
            packet.pts = packet.dts = index
            packet.duration = 1
            target.mux(packet)
    return path


def _encoded(frames: int, size: tuple[int, int]) -> Iterator[bytes]:
    encoder = av.CodecContext.create("libx265", "w")
    encoder.width, encoder.height = size
    encoder.pix_fmt, encoder.time_base, encoder.framerate = "yuv420p", 1 / _RATE, _RATE
    encoder.options = {"preset": "ultrafast", "x265-params": "log-level=none:repeat-headers=1:bframes=0"}
    for frame in SyntheticSource(frames, size, _RATE):
        picture = to_picture(frame)
        picture.pts, picture.time_base = frame.pts, 1 / _RATE
        yield from map(bytes, encoder.encode(picture))
    yield from map(bytes, encoder.encode(None))


def _with_second(picture: bytes, size: tuple[int, int]) -> bytes:
    first, second = [], []
    for unit in filter(None, _START.split(picture)):
        kind = unit[0] >> 1 & 0x3F
        first.append(_of_two_layers(unit, size) if kind == _PARAMETERS else unit)
        if kind < _PARAMETERS:
            second.append(bytes((unit[0], 1 << 3 | unit[1] & 7)) + unit[2:])
    return b"".join(b"\x00\x00\x00\x01" + unit for unit in first + second)


def _of_two_layers(parameters: bytes, size: tuple[int, int]) -> bytes:
    """The video's parameters, with an extension that adds a view which depends on the first."""
    profile = parameters.replace(b"\x00\x00\x03", b"\x00\x00")[6:18]
    bits = "0000" + "11" + "000001" + "000" + "1" + "1" * 16  # two layers, no sub-layers
    bits += "".join(f"{byte:08b}" for byte in profile)
    bits += "1" + _golomb(4, 2, 0)  # pictures that wait, are put in order, are late
    bits += "000001" + _golomb(1) + "11"  # a second set of layers, which has both
    bits += "0" + "1"  # no clock, but an extension
    bits += "1" * (-len(bits) % 8)
    bits += f"{profile[-1]:08b}"
    bits += "0" + f"{1 << 14:016b}" + "000" + "0" + "1"  # layers are views, the second is view 1
    bits += "0001" + "01" + "1" + "0" + "0" + "1"  # their numbers; it depends on the first
    bits += _golomb(1, 0) + "00" + "11" + _golomb(0)
    bits += f"{size[0]:016b}{size[1]:016b}" + "1" + "01" + "0" * 8 + "0"  # 4:2:0 of 8 bits
    bits += "1" + "0" + "0" + _golomb(4, 4, 2, 0)
    bits += _golomb(0) + "1" + "10" + _golomb(0) + "0" + "0" + "1"
    bits += "0" * (-len(bits) % 8)
    data = int(bits, 2).to_bytes(len(bits) // 8, "big")
    return parameters[:2] + re.sub(b"\x00\x00(?=[\x00-\x03])", b"\x00\x00\x03", data)


def _golomb(*values: int) -> str:
    codes = (f"{value + 1:b}" for value in values)
    return "".join("0" * (len(code) - 1) + code for code in codes)
