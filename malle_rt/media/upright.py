"""Turn pictures for containers that cannot say "turn me"."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from malle_rt.frame import Plane, pixel_layout

__all__ = ["rotatable", "turn_planes"]


def rotatable(pix_fmt: str, rotation: int) -> str:
    """The format to turn in: where U and V are not as square as Y, quarter turns need full chroma."""
    layout = pixel_layout(pix_fmt)
    if rotation % 180 == 0 or layout.chroma is None or layout.chroma[0] == layout.chroma[1]:
        return pix_fmt
    return "yuv444p" if layout.bits == 8 else f"yuv444p{layout.bits}le"


def turn_planes(planes: Sequence[Plane], rotation: int) -> tuple[Plane, ...]:
    """Each plane turned counter-clockwise by ``rotation`` degrees, a multiple of 90; no sample changes its value."""
    return tuple(np.rot90(plane, rotation // 90) for plane in planes)
