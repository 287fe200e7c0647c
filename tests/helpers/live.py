"""Shots for the tests of live sessions."""

import time
from dataclasses import replace
from fractions import Fraction

from malle_rt.live.frame import LiveFrame
from malle_rt.media.synthetic import SyntheticSource

_SIZE = (64, 48)
_SOURCES = {}


def shot(index: int = 0, *, size=_SIZE, sigma: float = 0.0, connection: int = 1, captured=None) -> LiveFrame:
    """The synthetic frame ``index`` as a shot of now, its index written in the luma."""
    if (size, sigma) not in _SOURCES:
        _SOURCES[size, sigma] = SyntheticSource(1000, size, Fraction(30), noise_sigma=sigma)
    frame = _SOURCES[size, sigma]._frame(index, noisy=sigma > 0)
    return LiveFrame(
        planes=frame.planes,
        pix_fmt=frame.pix_fmt,
        pts=index,
        time_base=frame.time_base,
        duration=1,
        color=frame.color,
        captured=time.monotonic() if captured is None else captured,
        connection=connection,
    )


def denoised(raw: LiveFrame) -> LiveFrame:
    """The shot as it comes out of a session, its pixels unchanged."""
    return replace(raw, raw=raw, sigma=10.0, estimated=11.0)
