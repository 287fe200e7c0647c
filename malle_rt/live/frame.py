"""A frame of live video: what it is, what of it can be shown, and where viewers find the newest one."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Literal, get_args

from malle_rt.frame import Frame

__all__ = ["VIEWS", "Latest", "LiveFrame", "View"]

# Raw left and clean right of a divider; both whole; one of them.
View = Literal["split", "side", "raw", "clean"]
VIEWS: tuple[View, ...] = get_args(View)


@dataclass(frozen=True, eq=False)
class LiveFrame(Frame):
    """A frame on its way through a live session.

    Attributes:
        captured: when the camera or the decoder gave it, on the clock of ``time.monotonic``, in seconds.
        connection: number of the connection it came by; a change means that the picture before is no predecessor.
        raw: the frame as it was captured, once ``planes`` are clean; None before.
        sigma: strength it was denoised with, 8-bit scale; 0 where it was passed through.
        estimated: noise estimated in the video so far, 8-bit scale; None where nothing could be told yet.
    """

    captured: float = 0.0
    connection: int = 0
    raw: Frame | None = None
    sigma: float = 0.0
    estimated: float | None = None


class Latest:
    """One frame that anyone may read and that newer ones replace. Viewers never hold up the pipeline."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._frame: LiveFrame | None = None
        self._number = 0

    def put(self, frame: LiveFrame) -> None:
        """Replace what is there."""
        with self._changed:
            self._frame = frame
            self._number += 1
            self._changed.notify_all()

    def wait(self, after: int, seconds: float) -> tuple[int, LiveFrame | None]:
        """The newest frame if its number is above ``after``, waiting so many seconds for it.

        Args:
            after: the number that came with the last one; 0 at first.
            seconds: longest wait; 0 looks once.

        Returns:
            Number and frame; ``after`` and None when nothing new came.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._number > after, seconds)
            return (self._number, self._frame) if self._number > after else (after, None)
