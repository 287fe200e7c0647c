"""One opened camera or stream, as the reader's thread sees it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from malle_rt.errors import ConfigError
from malle_rt.frame import Packet
from malle_rt.live.shot import Shot
from malle_rt.media.deinterlace import Deinterlace
from malle_rt.media.template import Template

__all__ = ["Capture", "CaptureRequest"]


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

    def __iter__(self) -> Iterator[Shot | Packet]:
        """Shots as they come, each with its ``captured`` instant; packets of sound in between. Ends with the input.

        Raises:
            SourceError: it broke.
        """
        ...

    def close(self) -> None:
        """Release the device. May be called twice, by the reading thread."""
        ...
