"""What a viewer at the window can do: keys and mouse in, changes of the view and requests to the session out."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from malle_rt.live.control import SessionControl
from malle_rt.live.frame import LiveFrame, View
from malle_rt.live.view.drawing import Rect

__all__ = ["Console", "ViewSettings"]

_NOTICE = 1.6  # seconds a notice stays
_WELCOME = 5.0  # seconds, for the first one
_DIVIDER_STEP = 0.02
_STRENGTH_STEP = 1.0
_MIX_STEP = 0.1


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


class Console:
    """The state of a window, without the window.

    Attributes:
        settings: what to show.
        frame: what is shown; None before the first picture. The window keeps it up to date.
        full_screen: whether the window should fill the screen.
        quitting: whether the viewer has had enough.
    """

    def __init__(self, session: SessionControl, view: View) -> None:
        self._session = session
        self.settings = ViewSettings(view=view)
        self.frame: LiveFrame | None = None
        self.full_screen = False
        self.quitting = False
        self._held = False
        self._notice_ends = 0.0
        self._notice("h shows the keys", _WELCOME)

    def tick(self) -> None:
        """Let time pass: notices go."""
        if self.settings.notice and time.monotonic() >= self._notice_ends:
            self._change(notice="")

    def point(self, x: int, area: Rect) -> None:
        """The mouse is at column ``x`` of a window whose picture lies in ``area``: the divider follows."""
        if not self._held:
            self._move_divider((x - area.x) / area.width)

    def click(self, x: int, area: Rect) -> None:
        """The divider goes there and is held; with the next click it follows again."""
        self._held = not self._held if self.settings.view == "split" else False
        self._move_divider((x - area.x) / area.width)

    def show(self, view: View) -> None:
        """Choose the view."""
        self._change(view=view)

    def shift_divider(self, steps: int) -> None:
        """Move the divider to the right, or to the left for negative steps."""
        self._move_divider(self.settings.divider + steps * _DIVIDER_STEP)

    def change_strength(self, steps: int) -> None:
        """Denoise more or less; from here on by hand."""
        self._session.controls.change_strength(steps * _STRENGTH_STEP)
        self._show_strength()

    def toggle_auto(self) -> None:
        """Automatic strength, or by hand."""
        self._session.controls.toggle_auto()
        self._show_strength()

    def change_mix(self, steps: int) -> None:
        """More or less of the denoised picture."""
        self._session.controls.change_mix(steps * _MIX_STEP)
        self._notice(f"mix {self._session.controls.tuning.mix:.0%}")

    def next_scale(self) -> None:
        """Denoise at the next share of the size."""
        self._session.controls.next_scale()
        scale = self._session.controls.tuning.scale
        self._notice("size automatic" if scale == "auto" else f"size {scale} of the source's")

    def toggle_frozen(self) -> None:
        """Let the picture stand, or go on; the session runs in any case."""
        self._change(frozen=not self.settings.frozen and self.frame is not None)

    def toggle_full_screen(self) -> None:
        """Fill the screen, or not."""
        self.full_screen = not self.full_screen

    def toggle_overlay(self) -> None:
        """Show the statistics, or not."""
        self._change(overlay=not self.settings.overlay)

    def toggle_help(self) -> None:
        """Show the keys, or not."""
        self._change(help=not self.settings.help)

    def snapshot(self) -> None:
        """Save what is shown; the session tells where."""
        if self.frame is None:
            self._notice("no picture to save yet")
        else:
            self._session.snapshot(self.frame)

    def toggle_recording(self) -> None:
        """Begin or end a recording; the session tells where."""
        self._session.toggle_recording()

    def quit(self) -> None:
        """End it."""
        self.quitting = True

    def _move_divider(self, place: float) -> None:
        if self.settings.view == "split":
            self._change(divider=min(max(place, 0.0), 1.0))

    def _show_strength(self) -> None:
        strength = self._session.controls.tuning.strength
        self._notice("strength automatic" if isinstance(strength, str) else f"strength {strength:.1f}")

    def _notice(self, text: str, seconds: float = _NOTICE) -> None:
        self._notice_ends = time.monotonic() + seconds
        self._change(notice=text)

    def _change(self, **values: object) -> None:
        self.settings = replace(self.settings, **values)  # type: ignore[arg-type]
