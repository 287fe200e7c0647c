"""Outputs that begin in the middle of a live stream: their time begins at 0, with the first picture."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import av

from malle_rt.frame import Frame, Packet
from malle_rt.media.compat import exact
from malle_rt.media.template import Template

__all__ = ["Beginning", "live_template"]


def live_template(template: Template) -> Template:
    """What an output may know of a live source: nothing of its length, its clock or its open container."""
    info = replace(template.info, duration=None, frames=None)
    return replace(template, info=info, container=None, origin=Fraction(0), shift=Fraction(0))


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
        return Packet(_copied(payload, ticks), packet.track) if payload.pts >= ticks else None


def _copied(packet: av.Packet[Any], ticks: int) -> av.Packet[Any]:
    copy: av.Packet[Any] = av.Packet(bytes(packet))
    copy.time_base = packet.time_base
    copy.pts = None if packet.pts is None else packet.pts - ticks
    copy.dts = None if packet.dts is None else packet.dts - ticks
    copy.duration = packet.duration
    copy.is_keyframe = packet.is_keyframe
    return copy
