"""Recordings of a session: begun and ended by keys, closed when the source is gone, begun again when it is back."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from pathlib import Path

from malle_rt.errors import MalleError
from malle_rt.live.fan_out import FanOut
from malle_rt.live.news import News
from malle_rt.live.outlets.outlet import Outlet
from malle_rt.live.outlets.recording import Recording

__all__ = ["Recordings"]

# Seconds without a picture after which the file is closed: what was recorded is then safe and playable.
_PATIENCE = 30.0
# Seconds a file may take to be finished at the end; what it lacks then stays beside it, playable, as a partial file.
_FINISHING = 10.0


class Recordings:
    """At most one recording at a time.

    Args:
        make: opens a recording; None: at a name of its own.
        fan_out: where shots come from.
        news: where the user is told.

    Attributes:
        problems: what went wrong with ended recordings, one line each.
        notes: what else is to be said of them.
        paths: files that were finished.
    """

    def __init__(self, make: Callable[[Path | None], Recording], fan_out: FanOut, news: News) -> None:
        self._make = make
        self._fan_out = fan_out
        self._news = news
        self._lock = threading.Lock()
        self._current: tuple[Outlet, Recording] | None = None
        self._ending: list[tuple[Outlet, Recording]] = []
        self._base = Path()  # of the parts that follow when the source comes back
        self._begun = 0.0
        self._waits = False
        self.problems: list[str] = []
        self.notes: list[str] = []
        self.paths: list[Path] = []

    @property
    def active(self) -> bool:
        """Whether something is being recorded or finished, or will be once the source is back."""
        with self._lock:
            return self._current is not None or self._waits or bool(self._ending)

    @property
    def current(self) -> Recording | None:
        """What is being recorded now."""
        with self._lock:
            return self._current[1] if self._current else None

    def begin(self, path: Path | None = None) -> None:
        """Record from the next shot on; nothing happens where a recording is running.

        Raises:
            ConfigError, SinkError: it cannot be written there.
        """
        self._base = self._begin(path) or self._base

    def toggle(self) -> None:
        """Begin or end, and tell the user what came of it."""
        if self.current is not None:
            self.end()
        elif self._waits:
            self._waits = False
            self._news.say("nothing will be recorded when the source is back")
        else:
            self._try(self.begin, None)

    def end(self) -> None:
        """Finish the file, in the outlet's own thread."""
        with self._lock:
            self._waits = False
            self._let_go()

    def look(self, lost_since: float | None) -> None:
        """To be called a few times per second: notice what ended, and whether the source is there.

        Args:
            lost_since: when the source was lost, on the clock of ``time.monotonic``; None while it gives pictures.
        """
        with self._lock:
            current = self._current
            if current is not None and not current[0].running:
                self._let_go()
            elif current is not None and self._is_gone(lost_since):
                self._let_go()
                self._waits = True
            self._collect()
            back = self._waits and lost_since is None
            self._waits = self._waits and not back
        if back and not self._try(self._begin, _next_part(self._base)):
            self.problems.append(f"recording: could not go on after the source was lost ({self._news.text})")

    def close(self) -> None:
        """End what runs and wait for it, with a bound. May be called twice."""
        self.end()
        with self._lock:
            ending = list(self._ending)
        deadline = time.monotonic() + _FINISHING
        for outlet, _ in ending:  # not under the lock: displays ask for the current recording
            outlet.close(max(0.0, deadline - time.monotonic()))
        with self._lock:
            self._collect()
            for _, recording in self._ending:
                self.problems.append(
                    f"recording: {recording.path} was not finished in {_FINISHING:.0f} s; its partial file stays"
                )
            self._ending.clear()

    def _is_gone(self, lost_since: float | None) -> bool:
        """Whether the source has been away for long, and so for as long as there is this recording."""
        return lost_since is not None and time.monotonic() - max(lost_since, self._begun) > _PATIENCE

    def _begin(self, path: Path | None) -> Path | None:
        """The path of the new recording; None where one is running."""
        with self._lock:
            if self._current is not None:
                return None
            recording = self._make(path)
            self._current = Outlet("recording", recording), recording
            self._begun = time.monotonic()
            self._fan_out.add(self._current[0])
            self._news.say(f"recording {recording.path}")
            return recording.path

    def _try(self, begin: Callable[[Path | None], object], path: Path | None) -> bool:
        try:
            begin(path)
        except MalleError as exc:
            self._news.warn(str(exc))
            return False
        return True

    def _let_go(self) -> None:
        """Take the current recording out of the stream of shots."""
        if self._current is not None:
            outlet = self._current[0]
            self._fan_out.remove(outlet)
            outlet.end()
            self._ending.append(self._current)
            self._current = None

    def _collect(self) -> None:
        """Tell what became of recordings whose threads have ended."""
        for outlet, recording in [each for each in self._ending if not each[0].running]:
            self._ending.remove((outlet, recording))
            if outlet.problem is not None:
                self.problems.append(f"recording: {outlet.problem}")
                self._news.warn(outlet.problem)
                continue
            self.paths.append(recording.path)
            self._news.say(f"saved {recording.path}")
            if outlet.dropped:
                lost = f"{recording.path} lacks {outlet.dropped} frames: encoding was too slow. Try --preset ultrafast"
                self.notes.append(lost)
                self._news.warn(lost)


def _next_part(path: Path) -> Path:
    """The name of what follows a recording: hall.mkv, hall-2.mkv, hall-3.mkv ..."""
    numbers = itertools.count(2)
    return next(part for number in numbers if not (part := path.with_stem(f"{path.stem}-{number}")).exists())
