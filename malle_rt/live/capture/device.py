"""What a user can capture from: its address, what is asked of it, and what it gives once it is open."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from malle_rt.errors import ConfigError
from malle_rt.frame import Packet
from malle_rt.live.frame import LiveFrame
from malle_rt.media.deinterlace import Deinterlace
from malle_rt.media.opening import is_url, plain_location
from malle_rt.media.template import Template
from malle_rt.shown import shown_address

__all__ = ["Address", "Capture", "CaptureRequest"]

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
class CaptureRequest:
    """What the user asks for.

    Attributes:
        device: number, path or name of a camera; "gst:" and a GStreamer pipeline; a URL; "lavfi:" and a source of
            FFmpeg's; path of a video file.
        size: (width, height) wanted of a camera; None: its own choice.
        frame_rate: frames per second wanted of a camera; None: its own choice.
        fourcc: pixel format wanted of a camera, such as "MJPG", kept in capitals; None: its own choice.
        loop: whether a file begins again at its end.
        deinterlace: whether a stream's or file's interlaced pictures become one of each "field", or of each "frame";
            None: neither.

    Raises:
        ConfigError: for a value that no camera can have.
    """

    device: str = "0"
    size: tuple[int, int] | None = None
    frame_rate: float | None = None
    fourcc: str | None = None
    loop: bool = False
    deinterlace: Deinterlace | None = None

    def __post_init__(self) -> None:
        if not self.device.strip():
            raise ConfigError(
                "device must be a camera, a URL or a file, got nothing. See malle-rt webcam --list"
            )
        if self.size is not None and min(self.size) < 16:
            raise ConfigError(f"size must be at least 16x16, got {self.size[0]}x{self.size[1]}")
        if self.frame_rate is not None and not 0 < self.frame_rate <= 1000:
            raise ConfigError(f"fps must be above 0 and at most 1000, got {self.frame_rate:g}")
        if self.fourcc is not None and (len(self.fourcc) != 4 or not self.fourcc.isascii()):
            raise ConfigError(f"fourcc must be four characters, such as MJPG, got {self.fourcc!r}")
        if self.fourcc is not None:
            object.__setattr__(self, "fourcc", self.fourcc.upper())


class Capture(Protocol):
    """An open camera or stream. Opened, read and closed by one thread."""

    @property
    def description(self) -> str:
        """What it is and the mode obtained, one line, such as "camera 0 (USB Cam), 640x480 at 30 fps, MJPG"."""
        ...

    @property
    def template(self) -> Template:
        """What a recording needs to know; usable from other threads and after ``close``."""
        ...

    def __iter__(self) -> Iterator[LiveFrame | Packet]:
        """Frames as they come, each with its ``captured`` instant; packets of sound in between. Ends with the input.

        Raises:
            SourceError: it broke.
        """
        ...

    def close(self) -> None:
        """Release the device. May be called twice, by the reading thread."""
        ...


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
