"""Addresses that video can be sent to, and what goes with each kind."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from malle_rt.errors import ConfigError

__all__ = ["PushAddress"]

_FORMATS = {
    "rtsp": "rtsp",
    "rtmp": "flv",
    "rtmps": "flv",
    "srt": "mpegts",
    "udp": "mpegts",
    "tcp": "mpegts",
}
# Sound that each format holds and players of it know; the rest is left out.
_SOUND = {
    "flv": frozenset({"aac", "mp3"}),
    "mpegts": frozenset({"aac", "mp2", "mp3", "ac3", "eac3", "opus"}),
    "rtsp": frozenset({"aac", "mp2", "mp3", "opus", "pcm_alaw", "pcm_mulaw"}),
}
# Ports that are meant where an address has none.
_KNOWN_PORTS = frozenset({"rtsp", "rtmp", "rtmps"})
# Seven packets of MPEG-TS: what fits into one datagram on an Ethernet.
_DATAGRAM = "pkt_size=1316"
# With the quotation mark and the blanks before it, and without the colon behind it.
_ANY_URL = re.compile(r"\s*['\"]?[A-Za-z][A-Za-z0-9+.-]*://\S*?(?=:?(?:\s|$))")


@dataclass(frozen=True)
class PushAddress:
    """Where to send video.

    Attributes:
        url: as FFmpeg wants it.
        format: FFmpeg's name of the format.
        shown: scheme, host and port. The rest may be a password or the key of a channel: never show it.
    """

    url: str
    format: str
    shown: str

    @classmethod
    def parse(cls, text: str) -> PushAddress:
        """Check a URL.

        Raises:
            ConfigError: video cannot be sent there.
        """
        try:
            parts = urlsplit(text)
            scheme, host, port = parts.scheme.lower(), parts.hostname, parts.port
        except ValueError as exc:
            raise ConfigError(f"output address cannot be read: {exc}") from exc
        if scheme not in _FORMATS:
            raise ConfigError(
                f"cannot send video to {scheme or 'an address without a scheme'}: "
                f"use {', '.join(_FORMATS)}, such as udp://239.0.0.1:5000; for a file, use --record"
            )
        if not host or (port is None and scheme not in _KNOWN_PORTS):
            raise ConfigError(f"output address needs a host and a port, such as {scheme}://10.0.0.7:5000")
        if scheme == "udp" and "pkt_size" not in parts.query:
            text += ("&" if parts.query else "?") + _DATAGRAM
        # An IPv6 address has its brackets back only so.
        place = f"[{host}]" if ":" in host else host
        return cls(text, _FORMATS[scheme], f"{scheme}://{place}" + (f":{port}" if port else ""))

    def taken_out_of(self, text: str) -> str:
        """A message of FFmpeg's without this address, which it likes to quote whole, and without any other."""
        # First this one, as it is: there may be blanks in it.
        return _ANY_URL.sub("", text.replace(self.url, self.shown)).removeprefix(":").strip()

    def holds_sound(self, codec: str, *, configured: bool) -> bool:
        """Whether sound can be sent along as it is.

        Args:
            codec: FFmpeg's name of the codec.
            configured: whether its track has a header of its own, without which RTSP cannot announce AAC.
        """
        return codec in _SOUND[self.format] and (configured or (codec, self.format) != ("aac", "rtsp"))
