"""What a stream's address means, and how it may be shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from malle_rt.media.opening import is_url, plain_location
from malle_rt.shown import shown_address

__all__ = ["Address"]

_LAVFI = "lavfi:"
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
            return cls(kind="lavfi", target=device.removeprefix(_LAVFI), shown=shown_address(device))
        target = plain_location(device)
        return cls(kind="url" if is_url(target) else "file", target=target, shown=shown_address(target))

    @property
    def self_paced(self) -> bool:
        """Whether the other end decides when pictures come."""
        return self.kind == "url" and self.target.partition("://")[0].lower() in _SELF_PACED
