"""Static HDR metadata in the words of each encoder."""

from __future__ import annotations

import logging
from collections.abc import Callable
from fractions import Fraction

from malle_rt.media.side_data import HdrMetadata

__all__ = ["add_hdr", "can_write_hdr"]

log = logging.getLogger(__name__)

# encoder -> (its parameter option, the names of mastering display and light level in it)
_PARAMETERS = {
    "libx264": ("x264-params", "mastering-display", "cll"),
    "libx265": ("x265-params", "master-display", "max-cll"),
    "libsvtav1": ("svtav1-params", "mastering-display", "content-light"),
}


def can_write_hdr(codec: str) -> bool:
    """Whether this encoder writes HDR metadata into its stream."""
    return codec in _PARAMETERS


def add_hdr(codec: str, options: dict[str, str], hdr: HdrMetadata) -> dict[str, str]:
    """The encoder's options with the metadata added to its parameter string."""
    option, mastering_name, light_name = _PARAMETERS[codec]
    parts = [options[option]] if option in options else []
    if codec == "libsvtav1" and hdr.luminance is None and hdr.primaries is not None:
        log.warning(
            "libsvtav1 cannot write a mastering display without its luminance; only light levels are kept"
        )
    elif hdr.primaries is not None:
        # SVT-AV1 takes plain numbers; x264 and x265 the integers of the standard: 0.00002 and 0.0001 cd/m2.
        point, light = (_decimal, _decimal) if codec == "libsvtav1" else (_scaled(50_000), _scaled(10_000))
        parts.append(f"{mastering_name}={_mastering(hdr, point, light)}")
    if hdr.light_level is not None:
        parts.append(f"{light_name}={hdr.light_level[0]},{hdr.light_level[1]}")
    return options | {option: ":".join(parts)} if parts else options


def _mastering(hdr: HdrMetadata, point: Callable[[Fraction], str], light: Callable[[Fraction], str]) -> str:
    """The common notation: green, blue, red, white point, greatest and least luminance (0: not known)."""
    assert hdr.primaries is not None
    red, green, blue, white = ((point(x), point(y)) for x, y in hdr.primaries)
    least, greatest = hdr.luminance or (Fraction(0), Fraction(0))
    named = (("G", green), ("B", blue), ("R", red), ("WP", white), ("L", (light(greatest), light(least))))
    return "".join(f"{name}({first},{second})" for name, (first, second) in named)


def _scaled(units: int) -> Callable[[Fraction], str]:
    return lambda value: str(round(value * units))


def _decimal(value: Fraction) -> str:
    return f"{float(value):.5f}"
