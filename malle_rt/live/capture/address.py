"""What a stream's address means, and how it may be shown."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from malle_rt.media.opening import is_url, plain_location

__all__ = ["Address", "hide_password"]

_LAVFI = "lavfi:"
# FFmpeg takes all up to the last @ before the path for user and password. A user without one may be a token.
_PASSWORD = re.compile(r"(://[^/?#\s:]*):[^/?#\s]*@")
_USER = re.compile(r"://[^/?#\s:]+@")
# Parameters of a URL, of a source graph, where characters are escaped, and of a GStreamer pipeline.
_PARAMETER = re.compile(
    r"(?<![\w.%~-])([\w.%~-]*(?:token|key|secret|pass|pw|auth|sig|streamid)[\w.%~-]*\\*=)"
    r'(?:"[^"]*"|[^&\s]*)',
    re.IGNORECASE,
)
# What sends at a pace of its own, whatever duration it claims.
_SELF_PACED = (
    "rtsp",
    "rtsps",
    "rtp",
    "srtp",
    "rtmp",
    "rtmps",
    "srt",
    "udp",
    "udplite",
    "tcp",
    "mmsh",
    "mmst",
)


def hide_password(text: str) -> str:
    """The text with everything that may be a password or a token, in URLs and parameters, replaced by three stars."""
    return _PARAMETER.sub(r"\1***", _USER.sub("://***@", _PASSWORD.sub(r"\1:***@", text)))


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where a stream comes from.

    Attributes:
        kind: "file", "url", or "lavfi" for a source graph of FFmpeg's.
        target: path, URL or graph, as FFmpeg is told. Holds passwords.
        shown: what a message says; holds none.
    """

    kind: Literal["file", "url", "lavfi"]
    target: str
    shown: str

    @classmethod
    def of(cls, device: str) -> Address:
        """The address that a user has written."""
        if device.startswith(_LAVFI):
            return cls(kind="lavfi", target=device.removeprefix(_LAVFI), shown=hide_password(device))
        target = plain_location(device)
        return cls(kind="url" if is_url(target) else "file", target=target, shown=hide_password(target))

    @property
    def self_paced(self) -> bool:
        """Whether the other end decides when pictures come."""
        return self.kind == "url" and self.target.partition("://")[0].lower() in _SELF_PACED
