"""What a decoded picture carries beside its pixels: how to turn it, HDR light levels, captions."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from fractions import Fraction

import av

from malle_rt.media.compat import side_data_bytes
from malle_rt.media.pixel_formats import has_alpha

__all__ = [
    "HdrMetadata",
    "Stereo",
    "display_matrix_of",
    "dynamic_hdr_of",
    "has_captions",
    "hdr_of",
    "is_spherical",
    "rotation_of",
    "stereo_of",
]

_MASTERING = struct.Struct("22i")  # AVMasteringDisplayMetadata: ten rationals, then two flags
_LIGHT_LEVEL = struct.Struct("2I")  # AVContentLightMetadata

_STEREO = struct.Struct("2i")  # AVStereo3D begins with its type and flags
_INVERTED = 1
# AVStereo3DType.
_PACKINGS = {
    1: "side by side",
    2: "top and bottom",
    3: "frame by frame",
    4: "checkerboard",
    6: "line by line",
    7: "column by column",
}

_DYNAMIC = {"DOVI_RPU_BUFFER": "Dolby Vision", "DYNAMIC_HDR_PLUS": "HDR10+", "DYNAMIC_HDR_VIVID": "HDR Vivid"}


@dataclass(frozen=True)
class HdrMetadata:
    """Static HDR metadata (SMPTE ST 2086, CTA 861.3).

    Attributes:
        primaries: CIE xy of red, green, blue and the white point, in this order; None when not given.
        luminance: (least, greatest) of the mastering display in cd/m2; None when not given.
        light_level: (MaxCLL, MaxFALL) in cd/m2; None when not given.
    """

    primaries: tuple[tuple[Fraction, Fraction], ...] | None
    luminance: tuple[Fraction, Fraction] | None
    light_level: tuple[int, int] | None


@dataclass(frozen=True)
class Stereo:
    """Two views of one scene.

    Attributes:
        packing: how both are packed into one picture; None where the picture is only one of them (MV-HEVC).
        right_first: whether the right eye's view is where the left one's is by default.
    """

    packing: str | None
    right_first: bool


def stereo_of(picture: av.VideoFrame) -> Stereo | None:
    """The two views of a picture; None where it is an ordinary one."""
    raw = side_data_bytes(picture, "STEREO3D")
    kind, flags = _STEREO.unpack_from(raw) if len(raw) >= _STEREO.size else (0, 0)
    if kind:
        return Stereo(_PACKINGS.get(kind), bool(flags & _INVERTED))
    # A stream of two layers, one for each eye, as phones write it (MV-HEVC); or one of colour and one of transparency.
    layered = side_data_bytes(picture, "VIEW_ID") and not has_alpha(picture.format.name)
    return Stereo(None, False) if layered else None


def is_spherical(picture: av.VideoFrame) -> bool:
    """Whether the picture is to be shown on a sphere or cube around the viewer."""
    return bool(side_data_bytes(picture, "SPHERICAL"))


def display_matrix_of(picture: av.VideoFrame) -> tuple[int, ...] | None:
    """FFmpeg's 3 x 3 display matrix, row-major fixed point; None when the picture is shown as stored."""
    raw = side_data_bytes(picture, "DISPLAYMATRIX")
    return struct.unpack("9i", raw) if len(raw) == 36 else None


def rotation_of(matrix: tuple[int, ...] | None) -> int:
    """Degrees counter-clockwise to turn the stored picture for display: 0, 90, 180 or -90."""
    if matrix is None or not (math.hypot(matrix[0], matrix[3]) and math.hypot(matrix[1], matrix[4])):
        return 0
    across = matrix[0] / math.hypot(matrix[0], matrix[3])
    down = matrix[1] / math.hypot(matrix[1], matrix[4])
    quarter_turns = round(-math.degrees(math.atan2(down, across)) / 90)
    return {0: 0, 1: 90, 2: 180, -2: 180, -1: -90}[quarter_turns]


def hdr_of(picture: av.VideoFrame) -> HdrMetadata | None:
    """Static HDR metadata of a decoded picture, or None."""
    mastering, light = (
        side_data_bytes(picture, "MASTERING_DISPLAY_METADATA"),
        side_data_bytes(picture, "CONTENT_LIGHT_LEVEL"),
    )
    primaries = luminance = None
    if len(mastering) >= _MASTERING.size:
        values = _MASTERING.unpack(mastering[: _MASTERING.size])
        rationals = [Fraction(n, d or 1) for n, d in zip(values[:20:2], values[1:20:2], strict=True)]
        if values[20]:
            primaries = tuple((rationals[2 * i], rationals[2 * i + 1]) for i in range(4))
        if values[21]:
            luminance = (rationals[8], rationals[9])
    light_level = None
    if len(light) >= _LIGHT_LEVEL.size:
        light_level = _LIGHT_LEVEL.unpack(light[: _LIGHT_LEVEL.size])
    if primaries is None and luminance is None and light_level is None:
        return None
    return HdrMetadata(primaries, luminance, light_level)


def dynamic_hdr_of(picture: av.VideoFrame) -> tuple[str, ...]:
    """Names of the HDR metadata that change from scene to scene."""
    return tuple(name for kind, name in _DYNAMIC.items() if side_data_bytes(picture, kind))


def has_captions(picture: av.VideoFrame) -> bool:
    """Whether the picture carries closed captions (ATSC A/53).

    Encoders read them from the frame they are given, and they cannot be set on a new one: only what is made of the
    decoder's frame carries them on.
    """
    return bool(side_data_bytes(picture, "A53_CC"))
