"""The types that cross rooms: a frame, a packet that is only carried, and what a video track is.

Everything here is plain data; nothing imports a media library or a framework.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from typing import Any, Literal, Protocol, overload

import numpy as np
import numpy.typing as npt

from malle_rt.errors import ConfigError

__all__ = [
    "ColorTags",
    "Frame",
    "Packet",
    "PixelLayout",
    "Plane",
    "Surface",
    "VideoInfo",
    "pixel_layout",
]

Plane = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


@dataclass(frozen=True)
class PixelLayout:
    """How a planar pix_fmt lays out its components.

    Attributes:
        bits: significant bits per sample, 8 to 16; above 8, samples are uint16, low bits used.
        chroma: (horizontal, vertical) subsampling of U and V as shifts: 4:2:0 is (1, 1); None for gray.
    """

    bits: int
    chroma: tuple[int, int] | None

    @property
    def dtype(self) -> type[np.uint8] | type[np.uint16]:
        """Storage type of one sample."""
        return np.uint8 if self.bits == 8 else np.uint16

    def plane_shapes(self, width: int, height: int) -> tuple[tuple[int, int], ...]:
        """(rows, columns) of each plane of a frame; chroma sizes round up, as FFmpeg does."""
        luma = (height, width)
        if self.chroma is None:
            return (luma,)
        across, down = self.chroma
        small = (-(-height >> down), -(-width >> across))
        return (luma, small, small)


_PLANAR = re.compile(r"^yuvj?(?P<sub>410|411|420|422|440|444)p(?P<bits>9|10|12|14|16)?(le)?$")
_GRAY = re.compile(r"^gray(?P<bits>9|10|12|14|16)?(le)?$")
_CHROMA = {"410": (2, 2), "411": (2, 0), "420": (1, 1), "422": (1, 0), "440": (0, 1), "444": (0, 0)}


@lru_cache(maxsize=64)
def pixel_layout(pix_fmt: str) -> PixelLayout:
    """Layout of a planar YUV or gray pix_fmt, by FFmpeg's name.

    Raises:
        ConfigError: for packed, RGB, alpha, big-endian or hardware formats; a source converts those first.
    """
    if found := _PLANAR.match(pix_fmt):
        return PixelLayout(int(found["bits"] or 8), _CHROMA[found["sub"]])
    if found := _GRAY.match(pix_fmt):
        return PixelLayout(int(found["bits"] or 8), None)
    raise ConfigError(f"pix_fmt {pix_fmt!r} is not a planar YUV or gray format that frames can hold")


class SupportsDLPack(Protocol):
    """Memory of a GPU that other libraries can take in without a copy."""

    def __dlpack__(self, *, stream: Any = None) -> Any:
        """A capsule with the tensor."""
        ...

    def __dlpack_device__(self) -> tuple[int, int]:
        """Kind and number of the device."""
        ...


class Surface(Sequence[Plane]):
    """The planes of a 4:2:0 picture that lies in a GPU's memory.

    As a sequence it is Y, U, V in host memory, brought down when first looked at, from any thread.

    Args:
        device: see below.
        pitches: see below.
        size: (width, height) of the luma, both even.
        download: gives Y, U, V as a frame's ``pix_fmt`` has them.

    Attributes:
        device: Y (rows, columns) and UV (rows / 2, columns / 2, 2), the layout of NV12 and P010: uint8, or uint16
            with the code values in the high bits.
        pitches: bytes from row to row of both.
        shapes: (rows, columns) of Y, U, V.
    """

    def __init__(
        self,
        device: tuple[SupportsDLPack, SupportsDLPack],
        pitches: tuple[int, int],
        size: tuple[int, int],
        download: Callable[[], Sequence[Plane]],
    ) -> None:
        width, height = size
        half = (height // 2, width // 2)
        self.device, self.pitches = device, pitches
        self.shapes: tuple[tuple[int, int], ...] = ((height, width), half, half)
        self._download = download
        self._planes: Sequence[Plane] | None = None
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.shapes)

    @overload
    def __getitem__(self, index: int) -> Plane: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Plane]: ...
    def __getitem__(self, index: int | slice) -> Plane | Sequence[Plane]:
        with self._lock:
            if self._planes is None:
                self._planes = self._download()
            return self._planes[index]


@dataclass(frozen=True)
class ColorTags:
    """Colour description as FFmpeg's numbers (ISO/IEC 23091-2); carried, never guessed. 2 is "unspecified"."""

    color_range: int = 0
    colorspace: int = 2
    primaries: int = 2
    transfer: int = 2


@dataclass(frozen=True, eq=False)
class Frame:
    """One decoded picture and its instant.

    Attributes:
        planes: Y, U, V (or Y alone for gray), each (rows, columns), uint8 or uint16, as
            ``pixel_layout(pix_fmt)`` says. Read-only by agreement: a stage makes new planes. A ``Surface`` where
            they lie on a GPU.
        pix_fmt: FFmpeg's name of the format.
        pts: presentation time in units of ``time_base``.
        time_base: seconds per unit.
        duration: in units of ``time_base``; 0 when the source does not know.
        color: colour tags of this frame.
        origin: the decoder's own frame, for side data (HDR, captions); opaque outside ``media``.
        fields: which of the two fields woven into the picture comes first in time: "top" (lines 0, 2, 4 ...) or
            "bottom"; None where the picture is progressive. Each frame by itself: a video may change on the way.
    """

    planes: Sequence[Plane]
    pix_fmt: str
    pts: int
    time_base: Fraction
    duration: int = 0
    color: ColorTags = field(default_factory=ColorTags)
    origin: object | None = None
    fields: Literal["top", "bottom"] | None = None

    @property
    def width(self) -> int:
        """Columns of the luma plane."""
        return self._luma_shape[1]

    @property
    def height(self) -> int:
        """Rows of the luma plane."""
        return self._luma_shape[0]

    @property
    def seconds(self) -> Fraction:
        """Presentation time in seconds."""
        return self.pts * self.time_base

    @property
    def _luma_shape(self) -> tuple[int, ...]:
        return self.planes.shapes[0] if isinstance(self.planes, Surface) else self.planes[0].shape


@dataclass(frozen=True, eq=False)
class Packet:
    """A compressed packet of another track (audio, subtitle, data) on its way from source to sink, untouched.

    Attributes:
        payload: the packet as the media library has it; opaque outside ``media`` and ``live``.
        track: index of its track in the source.
    """

    payload: object
    track: int = 0


@dataclass(frozen=True)
class VideoInfo:
    """What a source knows of its video track before the first frame.

    Attributes:
        width, height: stored size in pixels.
        pix_fmt: format of the frames the source will give.
        time_base: unit of the frames' pts.
        frame_rate: average rate in frames per second; None when unknown. Never used to compute a pts.
        sample_aspect_ratio: width of a pixel over its height; 1 when unknown.
        rotation: degrees, counter-clockwise as FFmpeg reports it, to apply for display: 0, 90, 180, -90.
        duration: seconds; None for live input or when the container does not say.
        frames: expected number of frames; None when unknown.
        color: colour tags of the track.
        codec: name of the decoder, "" for sources without one.
    """

    width: int
    height: int
    pix_fmt: str
    time_base: Fraction
    frame_rate: Fraction | None = None
    sample_aspect_ratio: Fraction = Fraction(1)
    rotation: int = 0
    duration: Fraction | None = None
    frames: int | None = None
    color: ColorTags = field(default_factory=ColorTags)
    codec: str = ""

    @property
    def expected_frames(self) -> int | None:
        """``frames``, or what ``duration`` and ``frame_rate`` come to; None when neither is known."""
        if self.frames is None and self.duration is not None and self.frame_rate is not None:
            return round(self.duration * self.frame_rate)
        return self.frames
