"""The part of an input that is asked for, in seconds of the container's own clock."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av

from malle_rt.errors import ConfigError
from malle_rt.media.compat import exact
from malle_rt.media.timeline import shift

__all__ = ["Window", "instant_of"]

# Seconds of video read on behind the end of the window, for packets of other tracks that were interleaved late.
_INTERLEAVING = Fraction(2)


def instant_of(packet: av.Packet[Any]) -> Fraction | None:
    """Presentation time of a packet in seconds (decoding time where it has no other); None when unknown."""
    ticks = packet.pts if packet.pts is not None else packet.dts
    return None if ticks is None or not packet.time_base else ticks * exact(packet.time_base)


class Window:
    """Start and end of what is wanted, and by how much its timestamps move.

    Attributes:
        begin: first instant wanted, in seconds of the container's clock.
        shift: seconds taken off every timestamp; known with the first frame, 0 where no start was asked for.
    """

    def __init__(self, start: Fraction | None, duration: Fraction | None, origin: Fraction) -> None:
        """``start`` counts from ``origin``, where the video begins on the container's clock."""
        if start is not None and start < 0:
            raise ConfigError(f"start must not be negative, got {float(start)} s")
        if duration is not None and duration <= 0:
            raise ConfigError(f"duration must be positive, got {float(duration)} s")
        self.begin = origin + (start or 0)
        self.shift = Fraction(0)
        self._start = start
        self._duration = duration
        self._end = None if duration is None else self.begin + duration

    @property
    def has_start(self) -> bool:
        """Whether a start was asked for."""
        return self._start is not None

    @property
    def is_whole(self) -> bool:
        """Whether all of the input is wanted."""
        return self._start is None and self._duration is None

    def open_at(self, instant: Fraction) -> None:
        """The first wanted frame is at ``instant``: everything moves so that it comes to 0."""
        if self.has_start:
            self.begin = self.shift = instant

    def holds(self, instant: Fraction | None) -> bool:
        """Whether something at ``instant`` is wanted; what has no instant always is."""
        if instant is None:
            return True
        return not (self.has_start and instant < self.begin) and not self.ended(instant)

    def ended(self, instant: Fraction) -> bool:
        """Whether ``instant`` lies at or behind the end."""
        return self._end is not None and instant >= self._end

    def exhausted(self, instant: Fraction) -> bool:
        """Whether video at ``instant`` is so far behind the end that reading can stop."""
        return self._end is not None and instant >= self._end + _INTERLEAVING

    def move(self, packet: av.Packet[Any]) -> None:
        """Take ``shift`` off a packet's timestamps, in place."""
        shift(packet, -self.shift)

    def length(self, whole: Fraction | None) -> Fraction | None:
        """Seconds that are wanted of an input of ``whole`` seconds; None when unknown."""
        if whole is None:
            return self._duration
        rest = max(Fraction(0), whole - (self._start or 0))
        return rest if self._duration is None else min(rest, self._duration)
