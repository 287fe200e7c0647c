"""JPEGs of the newest shot, made in a thread of their own while somebody waits for one."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from malle_rt.live.latest import Latest
from malle_rt.live.web.picture import Part, Picture, encode_jpeg, part_of

__all__ = ["Encoder"]

log = logging.getLogger(__name__)

# Seconds after which a wait for the next shot looks whether it is still wanted.
_LOOK = 0.2


class Encoder:
    """Encodes each shot at most once, and none that nobody waits for.

    It works on one shot at a time, the newest, so that pictures never queue up behind a slow processor.
    """

    def __init__(self, latest: Latest, deliver: Callable[[Picture], None]) -> None:
        """Start the thread. ``deliver`` is called in it, with every picture made."""
        self._latest = latest
        self._deliver = deliver
        self._changed = threading.Condition()
        self._wanted: frozenset[Part] = frozenset()
        self._closing = self._failed = False
        self._thread = threading.Thread(target=self._run, name="malle-web-jpeg")
        self._thread.start()

    def want(self, parts: frozenset[Part]) -> None:
        """What the next pictures must hold; nothing is made while it is empty. From any thread."""
        with self._changed:
            self._wanted = parts
            self._changed.notify()

    def close(self) -> None:
        """End the thread. May be called twice."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        picture: Picture | None = None
        while self._wait_until_wanted():
            number, shot = self._latest.wait(picture.number if picture else 0, _LOOK)
            if shot is not None:
                picture = Picture(number, shot, {})
            # Without a new shot there may still be a part that was not wanted before; and those who wanted a shot
            # may have left while it was awaited.
            if picture is None or not (missing := self._wanted - picture.jpegs.keys()):
                continue
            if made := self._encode(picture, missing):
                picture = Picture(picture.number, picture.shot, {**picture.jpegs, **made})
                self._deliver(picture)

    def _encode(self, picture: Picture, parts: frozenset[Part]) -> dict[Part, bytes]:
        """The parts; nothing where that failed, and it is tried again with the next shot, or after a while."""
        try:
            return {part: encode_jpeg(part_of(picture.shot, part)) for part in sorted(parts)}
        except Exception:
            # One odd shot must not end the page for the rest of the session; told once, not for every frame.
            if not self._failed:
                log.exception("a picture could not be encoded for the page")
            self._failed = True
            return {}

    def _wait_until_wanted(self) -> bool:
        """False when it is time to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._wanted or self._closing)
            return not self._closing
