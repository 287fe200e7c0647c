"""What a viewer has chosen to see."""

from __future__ import annotations

from dataclasses import dataclass

from malle_rt.live.views import View

__all__ = ["ViewSettings"]


@dataclass(frozen=True, kw_only=True)
class ViewSettings:
    """Everything of the window that does not come from the session.

    Attributes:
        view: "split" (raw left of the divider, clean right of it), "side" (both, side by side), "raw" or "clean".
        divider: its place, 0 (left edge of the picture) to 1.
        frozen: whether the picture stands still.
        overlay: whether the statistics are shown.
        help: whether the keys are shown.
        notice: what the last key did, one line, "" after a moment.
    """

    view: View = "split"
    divider: float = 0.5
    frozen: bool = False
    overlay: bool = True
    help: bool = False
    notice: str = ""
