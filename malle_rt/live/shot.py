"""A frame of live video: a picture that knows when it was taken."""

from __future__ import annotations

from dataclasses import dataclass

from malle_rt.frame import Frame

__all__ = ["Shot"]


@dataclass(frozen=True, eq=False)
class Shot(Frame):
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
