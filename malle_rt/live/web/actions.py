"""What a page may ask for: reading its messages and doing what they say, within bounds."""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from malle_rt.errors import ConfigError
from malle_rt.live.control import SessionControl
from malle_rt.live.frame import LiveFrame
from malle_rt.live.scaling import SCALES
from malle_rt.live.web.picture import PARTS_OF

__all__ = ["Actions", "Bucket", "Message", "Request", "read_request"]

# Files that all pages together may ask for: a few at once, two a second.
_SAVES_PER_SECOND = 2
_SAVES_AT_ONCE = 4
# Snapshots that can be downloaded; each holds two frames in memory.
_KEPT = 2
# Beyond any number that the page has a use for, and within what a float can hold.
_LARGEST = 1e12
Message = dict[str, Any]


@dataclass(frozen=True)
class Request:
    """One message of a page.

    Attributes:
        name: "drawn" (int: number of the picture), "view" (a ``View``), "frozen" (bool), "strength" (8-bit scale),
            "automatic" (bool), "mix" (0 to 1), "scale" (a ``Scale``), "snapshot" (bool), "recording" (bool). They are
            described in static/messages.json.
        value: of the type that belongs to the name; its range is not checked.
    """

    name: str
    value: Any


def read_request(text: str) -> Request:
    """Read ``{"do": NAME, "value": VALUE}``.

    Raises:
        ValueError: it is nothing that the page sends.
    """
    try:
        message = json.loads(text, parse_constant=_no_constant)
    except RecursionError as exc:
        raise ValueError("nested too deep") from exc
    if not isinstance(message, dict) or message.keys() != {"do", "value"}:
        raise ValueError("not a request")
    name, value = message["do"], message["value"]
    fits = _VALUES.get(name) if isinstance(name, str) else None
    if fits is None or not fits(value):
        raise ValueError("not a request that is known here")
    return Request(name, value)


class Actions:
    """Does what pages ask for, with the controls of the session. Used by one thread."""

    def __init__(self, session: SessionControl) -> None:
        self._session = session
        self._saving = Bucket(_SAVES_PER_SECOND, _SAVES_AT_ONCE)
        self._kept: OrderedDict[int, LiveFrame] = OrderedDict()

    def perform(self, request: Request, number: int, frame: LiveFrame | None) -> Message | None:
        """Do it.

        Args:
            request: anything but "drawn", "view" and "frozen", which concern the viewer alone.
            number: of the frame that the viewer sees.
            frame: that frame; None before the first.

        Returns:
            What to tell the viewer; None where the statistics will show it.
        """
        controls = self._session.controls
        try:
            if request.name == "strength":
                controls.set_strength(float(request.value))
            elif request.name == "mix":
                controls.set_mix(float(request.value))
            elif request.name == "scale":
                controls.set_scale(request.value)
            elif request.name == "automatic":
                # Asked for by state, not as a toggle: two pages that switch at once mean the same.
                if request.value != isinstance(controls.tuning.strength, str):
                    controls.toggle_auto()
            elif not self._saving.take():
                return _notice("Too many files in a short time. Wait a second and try again.")
            elif request.name == "recording":
                if request.value != (self._session.statistics().recording is not None):
                    self._session.toggle_recording()
            else:
                return self._snapshot(number, frame)
        except ConfigError as exc:
            return _notice(f"{exc}.")
        return None

    def kept(self, number: int) -> LiveFrame | None:
        """The frame of a recent snapshot."""
        return self._kept.get(number)

    def _snapshot(self, number: int, frame: LiveFrame | None) -> Message:
        if frame is None:
            return _notice("There is no picture yet.")
        self._session.snapshot(frame)
        self._kept[number] = frame
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return {"kind": "snapshot", "number": number}


def _notice(text: str) -> Message:
    return {"kind": "notice", "text": text}


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST


def _is_switch(value: object) -> bool:
    return isinstance(value, bool)


_VALUES: dict[str, Callable[[Any], bool]] = {
    "drawn": lambda value: _is_number(value) and value == int(value),
    "view": lambda value: isinstance(value, str) and value in PARTS_OF,
    "frozen": _is_switch,
    "strength": _is_number,
    "automatic": _is_switch,
    "mix": _is_number,
    "scale": lambda value: isinstance(value, str) and value in SCALES,
    "snapshot": _is_switch,
    "recording": _is_switch,
}


class Bucket:
    """A token bucket; used by one thread."""

    def __init__(self, per_second: float, burst: int) -> None:
        """``per_second`` in the long run, ``burst`` at once after a pause."""
        self._per_second = per_second
        self._burst = float(burst)
        self._left = float(burst)
        self._then = time.monotonic()

    def take(self) -> bool:
        """Whether it may be done once more now."""
        now = time.monotonic()
        self._left = min(self._burst, self._left + (now - self._then) * self._per_second)
        self._then = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
