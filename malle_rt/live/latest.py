"""The newest picture, for viewers that look when they have time."""

from __future__ import annotations

import threading

from malle_rt.live.shot import Shot

__all__ = ["Latest"]


class Latest:
    """One shot that anyone may read and that newer ones replace. Viewers never hold up the pipeline."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._shot: Shot | None = None
        self._number = 0

    def put(self, shot: Shot) -> None:
        """Replace what is there."""
        with self._changed:
            self._shot = shot
            self._number += 1
            self._changed.notify_all()

    def wait(self, after: int, seconds: float) -> tuple[int, Shot | None]:
        """The newest shot if its number is above ``after``, waiting so many seconds for it.

        Args:
            after: the number that came with the last one; 0 at first.
            seconds: longest wait; 0 looks once.

        Returns:
            Number and shot; ``after`` and None when nothing new came.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._number > after, seconds)
            return (self._number, self._shot) if self._number > after else (after, None)
