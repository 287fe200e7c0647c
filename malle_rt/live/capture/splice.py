"""One timeline from several connections."""

from __future__ import annotations

import logging
from dataclasses import replace
from fractions import Fraction
from typing import Any

from malle_rt.frame import Packet
from malle_rt.live.capture.tracks import matching_tracks
from malle_rt.live.shot import Shot
from malle_rt.media.template import Template

__all__ = ["Splice"]

log = logging.getLogger(__name__)


class Splice:
    """Places each connection behind the one before, as far behind as the clock says.

    The first one stays as it is. Used by one thread at a time.
    """

    def __init__(self) -> None:
        self._connection = 0
        self._first: Template | None = None
        self._shift: Fraction | None = None
        self._last: Shot | None = None
        self._zero = Fraction(0)
        self._tracks: dict[int, int] = {}
        self._warned = False

    def begin(self, template: Template) -> None:
        """A new connection, whose streams are those of ``template``."""
        self._connection += 1
        self._shift = None
        if self._first is None:
            self._first = template
        self._tracks = matching_tracks(self._first.others, template.others)
        if len(self._tracks) < len(template.others) and not self._warned:
            self._warned = True
            log.warning(
                "%s: the sound has other parameters than at first: it is left out",
                template.location or "input",
            )

    def shot(self, shot: Shot) -> Shot:
        """The shot on the common timeline, in the first connection's time_base, later than the one before."""
        last = self._last
        if self._shift is None:
            self._shift = self._place(shot)
        unit = shot.time_base if last is None else last.time_base
        pts = round((shot.seconds + self._shift) / unit)
        if last is not None:
            pts = max(pts, last.pts + 1)
        placed = replace(
            shot,
            pts=pts,
            time_base=unit,
            duration=round(shot.duration * shot.time_base / unit),
            connection=self._connection,
        )
        # Without its planes: the last picture need not be kept for its instant.
        self._last = replace(placed, planes=())
        return placed

    def _place(self, shot: Shot) -> Fraction:
        """Seconds to add to the timestamps of the connection that begins with ``shot``."""
        # To the microsecond: the exact value of a float has a denominator that every sum would carry on.
        now = Fraction(round(shot.captured * 1_000_000), 1_000_000)
        if self._last is None:
            self._zero = now - shot.seconds
            return Fraction(0)
        # Always counted from the first connection, so that errors do not add up over many.
        earliest = self._last.seconds + shot.duration * shot.time_base
        return max(now - self._zero, earliest) - shot.seconds

    def packet(self, packet: Packet) -> Packet | None:
        """The packet on the common timeline; None before the connection's first picture, and for unknown tracks."""
        track = self._tracks.get(packet.track)
        if track is None or self._shift is None:
            return None
        payload: Any = packet.payload
        if self._shift and payload.time_base:
            ticks = round(self._shift / Fraction(payload.time_base))
            payload.pts = None if payload.pts is None else payload.pts + ticks
            payload.dts = None if payload.dts is None else payload.dts + ticks
        return Packet(payload, track)
