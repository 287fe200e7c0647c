"""RTP packets of H.264 (RFC 6184) and AAC (RFC 3640), as much of them as a camera sends."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

VIDEO_TYPE, AUDIO_TYPE = 96, 97
_LARGEST = 1400  # bytes of payload, so that a packet fits into one Ethernet frame
_START_CODE = re.compile(b"\x00\x00\x01")
_ADTS_HEADER = 7


class RtpTrack:
    """One track's packets, numbered; timestamps in the track's clock."""

    def __init__(self, payload_type: int, ssrc: int) -> None:
        self._payload_type = payload_type
        self._ssrc = ssrc
        self._number = 0

    def packets(self, payloads: Iterator[bytes], timestamp: int) -> Iterator[bytes]:
        """The payloads of one picture or sound frame as packets; the last one carries the marker."""
        waiting = list(payloads)
        for place, payload in enumerate(waiting):
            marker = 0x80 if place == len(waiting) - 1 else 0
            second = marker | self._payload_type
            head = struct.pack(">BBHII", 0x80, second, self._number, timestamp & 0xFFFFFFFF, self._ssrc)
            self._number = (self._number + 1) & 0xFFFF
            yield head + payload


def h264_payloads(annexb: bytes) -> Iterator[bytes]:
    """The NAL units of a picture: whole ones where they fit, in fragments (FU-A) where not."""
    for unit in _nal_units(annexb):
        if len(unit) <= _LARGEST:
            yield unit
            continue
        indicator, kind = unit[0] & 0xE0 | 28, unit[0] & 0x1F
        for begin in range(1, len(unit), _LARGEST):
            part = unit[begin : begin + _LARGEST]
            first, last = begin == 1, begin + _LARGEST >= len(unit)
            yield bytes((indicator, first << 7 | last << 6 | kind)) + part


def aac_payloads(adts: bytes) -> Iterator[bytes]:
    """One AAC frame without its ADTS header, behind the header of the mode AAC-hbr."""
    frame = adts[_ADTS_HEADER:]
    yield struct.pack(">HH", 16, len(frame) << 3) + frame


def session_description(*, sample_rate: int, channels: int) -> str:
    """SDP of one H.264 and one AAC-LC track; the picture's parameters come within the stream."""
    rates = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
    config = 2 << 11 | rates.index(sample_rate) << 7 | channels << 3
    return "\r\n".join(
        (
            "v=0",
            "o=- 0 0 IN IP4 127.0.0.1",
            "s=test",
            "c=IN IP4 0.0.0.0",
            "t=0 0",
            f"m=video 0 RTP/AVP {VIDEO_TYPE}",
            f"a=rtpmap:{VIDEO_TYPE} H264/90000",
            f"a=fmtp:{VIDEO_TYPE} packetization-mode=1",
            "a=control:track0",
            f"m=audio 0 RTP/AVP {AUDIO_TYPE}",
            f"a=rtpmap:{AUDIO_TYPE} MPEG4-GENERIC/{sample_rate}/{channels}",
            f"a=fmtp:{AUDIO_TYPE} streamtype=5;profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;"
            f"indexdeltalength=3;config={config:04x}",
            "a=control:track1",
            "",
        )
    )


def _nal_units(annexb: bytes) -> Iterator[bytes]:
    begins = [found.end() for found in _START_CODE.finditer(annexb)]
    ends = [begin - 3 for begin in begins[1:]] + [len(annexb)]
    for begin, end in zip(begins, ends, strict=True):
        unit = annexb[begin:end].rstrip(b"\x00")
        if unit:
            yield unit
