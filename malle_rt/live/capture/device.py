"""What a user can capture from: its address, what is asked of it, and what it gives once it is open."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from malle_rt.errors import ConfigError
from malle_rt.frame import Packet
from malle_rt.live.frame import LiveFrame
from malle_rt.media.deinterlace import Deinterlace
from malle_rt.media.opening import is_url, plain_location
from malle_rt.media.template import Template
from malle_rt.shown import shown_address

__all__ = ["Capture", "CaptureRequest", "DeviceAddress"]

_LAVFI, _PIPELINE = "lavfi:", "gst:"
_CAMERA = re.compile(r"\d+|/dev/video\d+")
# "clip.mp4", but not "BRIO 4.0": a name that ends like a file's is most likely a file's, misspelt.
_FILE_NAME = re.compile(r".*[/\\].*|.*\.[A-Za-z][A-Za-z0-9]{1,4}", re.DOTALL)
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
        gpu: number of the NVIDIA GPU whose NVDEC is to decode a network stream; None: the processor decodes.

    Raises:
        ConfigError: for a value that no camera can have.
    """

    device: str = "0"
    size: tuple[int, int] | None = None
    frame_rate: float | None = None
    fourcc: str | None = None
    loop: bool = False
    deinterlace: Deinterlace | None = None
    gpu: int | None = None

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
class DeviceAddress:
    """Where pictures come from, read from what a user has written.

    Attributes:
        kind: "camera", "pipeline" of GStreamer's, "file", "url", or "lavfi" for a source graph of FFmpeg's.
        target: what is opened, without the prefix of its kind. Holds passwords.
        shown: what a message says; holds none.
    """

    kind: Literal["camera", "pipeline", "file", "url", "lavfi"]
    target: str
    shown: str

    @classmethod
    def parse(cls, device: str) -> DeviceAddress:
        """The address that a user has written; of a bare name, the files that are there decide."""
        if device.startswith(_LAVFI):
            return cls(kind="lavfi", target=device.removeprefix(_LAVFI), shown=shown_address(device))
        if device.startswith(_PIPELINE):
            pipeline = device.removeprefix(_PIPELINE).strip()
            return cls(kind="pipeline", target=pipeline, shown=shown_address(device))
        target = plain_location(device)
        if is_url(target):
            return cls(kind="url", target=target, shown=shown_address(target))
        if not _CAMERA.fullmatch(device) and (device.startswith("file:") or _is_file(target)):
            return cls(kind="file", target=target, shown=shown_address(target))
        return cls(kind="camera", target=device.strip(), shown=shown_address(device))

    @property
    def is_camera(self) -> bool:
        """Whether OpenCV opens it, and not FFmpeg."""
        return self.kind in ("camera", "pipeline")

    @property
    def takes_modes(self) -> bool:
        """Whether it can be asked for a size, a frame rate and a pixel format."""
        return self.kind == "camera"

    @property
    def self_paced(self) -> bool:
        """Whether the other end decides when pictures come."""
        return self.kind == "url" and self.target.partition("://")[0].lower() in _SELF_PACED


def _is_file(target: str) -> bool:
    path = Path(target)
    if path.exists():
        return not path.is_char_device()  # such as /dev/v4l/by-id/...
    return _FILE_NAME.fullmatch(target) is not None
