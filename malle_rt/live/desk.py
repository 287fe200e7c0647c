"""What a window or a page sees of a live session, and what it can ask for."""

from __future__ import annotations

from typing import Protocol

from malle_rt.live.controls import Controls
from malle_rt.live.latest import Latest
from malle_rt.live.shot import Shot
from malle_rt.live.statistics import Statistics

__all__ = ["Desk"]


class Desk(Protocol):
    """The controls and displays of a session; every call is from any thread and returns at once."""

    @property
    def controls(self) -> Controls:
        """Strength and mix."""
        ...

    @property
    def latest(self) -> Latest:
        """The newest denoised shot; its ``raw`` is the same instant as captured."""
        ...

    @property
    def running(self) -> bool:
        """False once the session ends; viewers go then."""
        ...

    def statistics(self) -> Statistics:
        """A snapshot."""
        ...

    def note_displayed(self, shot: Shot) -> None:
        """The viewer has put this shot on a screen just now."""
        ...

    def snapshot(self, shot: Shot) -> None:
        """Save a shot as a pair of PNG files, raw and clean; a message says where."""
        ...

    def toggle_recording(self) -> None:
        """Begin or end a recording; a message says where, or why not."""
        ...

    def stop(self) -> None:
        """End the session well."""
        ...
