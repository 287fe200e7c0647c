"""The three things a pipeline is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol, runtime_checkable

from malle_rt.frame import Frame, Packet, VideoInfo

__all__ = ["Denoiser", "Sink", "Source"]


@runtime_checkable
class Source(Protocol):
    """Where frames come from. Iterated once, by one thread; packets of other tracks come in between."""

    @property
    def info(self) -> VideoInfo:
        """What is known of the video track, before the first frame."""
        ...

    def __iter__(self) -> Iterator[Frame | Packet]:
        """Frames in presentation order, each with its own pts; packets where the container had them."""
        ...

    def interrupt(self) -> None:
        """Let a read that waits for data come back soon, as if the input had ended. From any thread."""
        ...

    def close(self) -> None:
        """Release the input. May be called twice."""
        ...


@runtime_checkable
class Denoiser(Protocol):
    """Frame in, frame out: same size, pix_fmt, pts and order, one for one."""

    @property
    def ahead(self) -> int:
        """Frames worth starting before the result of the first is asked for; 0 where nothing is gained by it."""
        ...

    def start(self, frame: Frame) -> Callable[[], Frame]:
        """Begin to clean one frame; gives a function that waits for it, to be called once.

        What is carried from frame to frame is the denoiser's own business. Results are asked for in the order in
        which frames were started.
        """
        ...

    def close(self) -> None:
        """Release what the denoiser holds. May be called twice."""
        ...


@runtime_checkable
class Sink(Protocol):
    """Where frames go. Used by one thread."""

    def write(self, item: Frame | Packet) -> None:
        """Take one frame or carried packet."""
        ...

    def finish(self) -> None:
        """Flush and make the output appear under its final name."""
        ...

    def abort(self) -> None:
        """Give up and leave nothing half-written behind. May be called after a failed ``finish``."""
        ...
