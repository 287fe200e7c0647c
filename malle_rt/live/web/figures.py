"""The statistics of a session as the page gets them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from malle_rt.config import MAX_SIGMA
from malle_rt.live.desk import Desk

__all__ = ["figures"]


def figures(desk: Desk, viewers: int) -> dict[str, Any]:
    """Statistics and tuning, ready for JSON.

    Returns:
        The fields of ``Statistics``, of which "automatic" and "mix" are those of the next frame; "strength", what the
        slider shows (the one chosen, or the one in use while it is automatic); "strongest", the end of the slider;
        "viewers", how many pages watch.
    """
    statistics = asdict(desk.statistics())
    tuning = desk.controls.tuning
    automatic = isinstance(tuning.strength, str)
    return {
        **statistics,
        "automatic": automatic,
        "mix": tuning.mix,
        "strength": statistics["used"] if automatic else tuning.strength,
        "strongest": MAX_SIGMA,
        "viewers": viewers,
    }
