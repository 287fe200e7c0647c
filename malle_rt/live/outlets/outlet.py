"""A sink in a thread of its own that nobody waits for, and that begins in the middle of a live stream."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Protocol, runtime_checkable

import av

from malle_rt.frame import Frame, Packet
from malle_rt.media.compat import exact
from malle_rt.media.mp4_boxes import PictureBoxes
from malle_rt.media.template import Template
from malle_rt.media.timeline import shifted
from malle_rt.pipeline.channel import Channel
from malle_rt.pipeline.config import PipelineConfig
from malle_rt.pipeline.stage import Failures, Stage
from malle_rt.protocols import Sink

__all__ = ["Beginning", "LiveSink", "Outlet", "live_template"]


@runtime_checkable
class LiveSink(Sink, Protocol):
    """A sink that goes on after trouble, such as one that connects again."""

    @property
    def problem(self) -> str | None:
        """What is wrong just now, one line; None when all is well."""
        ...

    @property
    def lost(self) -> int:
        """Frames taken that did not get out."""
        ...

    def interrupt(self) -> None:
        """Let no write wait longer than a moment from now on. From any thread."""
        ...


class Outlet:
    """Hands frames and packets to a sink. A slow sink loses its oldest frames; a broken one only itself.

    Attributes:
        name: what the user knows it by.
    """

    def __init__(self, name: str, sink: Sink, *, depth: int = 8) -> None:
        """Start the thread, which owns the sink from now on.

        Args:
            name: what the user knows it by.
            sink: first used by the thread.
            depth: frames that may wait.
        """
        self.name = name
        self._sink = sink
        self._channel = Channel(PipelineConfig(depth=depth))
        self._taken = 0
        self._finished = False
        self._failures = Failures()
        self._stage = Stage(
            "malle-outlet",
            self._work,
            channels=[self._channel],
            release=self._give_up_unfinished,
            failures=self._failures,
        )
        self._stage.start()

    @property
    def frames(self) -> int:
        """Frames that got out."""
        return self._taken - self._lost

    @property
    def dropped(self) -> int:
        """Frames that did not: they made room for newer ones, or came while the sink could not take them."""
        return self._channel.dropped + self._lost

    @property
    def dropped_packets(self) -> int:
        """Packets of sound that did not get out."""
        return self._channel.dropped_packets

    @property
    def problem(self) -> str | None:
        """Why it has stopped, or what is wrong just now, one line; None when all is well."""
        if (failure := self._failures.first) is not None:
            return str(failure[1]).partition("\n")[0] or type(failure[1]).__name__
        return self._sink.problem if isinstance(self._sink, LiveSink) else None

    @property
    def note(self) -> str:
        """How it fares, for people: what is wrong, what was left out, or "running"."""
        if self.problem is not None:
            return self.problem
        return f"{self.dropped} frames left out, it is too slow" if self.dropped else "running"

    @property
    def running(self) -> bool:
        """Whether the thread is still at work."""
        return not self._stage.wait(0)

    def put(self, item: Frame | Packet) -> None:
        """Take an item; returns at once, whatever the sink does."""
        self._channel.offer(item)

    def end(self) -> None:
        """Take nothing more; the thread finishes the sink and ends. Returns at once, may be called twice."""
        self._channel.close()
        if isinstance(self._sink, LiveSink):
            self._sink.interrupt()

    def close(self, seconds: float = 2.0) -> bool:
        """``end``, and wait for it at most so long; False where the thread is still busy and is left behind."""
        self.end()
        return self._stage.wait(seconds)

    @property
    def _lost(self) -> int:
        return self._sink.lost if isinstance(self._sink, LiveSink) else 0

    def _work(self) -> None:
        for item in self._channel:
            self._sink.write(item)
            self._taken += isinstance(item, Frame)
        self._sink.finish()
        self._finished = True

    def _give_up_unfinished(self) -> None:
        if not self._finished:
            self._sink.abort()


def live_template(template: Template) -> Template:
    """What an output may know of a live source: nothing of its length, its clock or its open container."""
    info = replace(template.info, duration=None, frames=None)
    return replace(template, info=info, container=None, origin=Fraction(0), shift=Fraction(0))


def sized(template: Template, first: Frame) -> Template:
    """The template for frames as large as the first: live pictures may be smaller than their source."""
    size = first.width, first.height
    if size == (template.info.width, template.info.height):
        return template
    return replace(
        template, info=replace(template.info, width=size[0], height=size[1]), boxes=PictureBoxes(), video=None
    )


class Beginning:
    """Moves frames and packets so that one frame is at 0; what comes before it is left out."""

    def __init__(self, first: Frame) -> None:
        """``first``: the frame that will be at 0."""
        self._origin = first.seconds

    def frame(self, frame: Frame) -> Frame:
        """The frame at its new instant, without the decoder's own picture, which other outlets share."""
        return replace(frame, pts=frame.pts - round(self._origin / frame.time_base), origin=None)

    def packet(self, packet: Packet) -> Packet | None:
        """A copy of the packet at its new instant, since muxers write into packets; None where it is left out."""
        payload = packet.payload
        if not isinstance(payload, av.Packet) or payload.pts is None or not payload.time_base:
            return None
        ticks = round(self._origin / exact(payload.time_base))
        return Packet(shifted(payload, -self._origin), packet.track) if payload.pts >= ticks else None
