"""What a live session tells of itself: counters, snapshots, the line of the moment and the report at the end."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from malle_rt.denoiser import ALMOST_NO_NOISE
from malle_rt.live.frame import LiveFrame
from malle_rt.pipeline import Latency, percentiles

__all__ = ["LiveReport", "Meter", "Rate", "SourceState", "Statistics", "StatusLine"]

log = logging.getLogger(__name__)

# Seconds of frames that rates and percentiles are taken over, and most frames kept for them.
_SPAN = 4.0
_MOST = 1024
_PAUSE = 0.5  # seconds of silence from which on they lower a rate
SourceState = Literal["waiting", "live", "lost", "ended"]
_SECONDS = 4.0  # a line stays this long


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """A snapshot of a live session.

    Attributes:
        source: what frames come from, one line, such as "camera 0, 640x480 at 30 fps, MJPG".
        state: "waiting" for the first frame, "live", "lost" while it reconnects, "ended".
        message: what the viewer must know now, one line; None when all is well.
        backend: name, model and precision of what denoises, such as "openvino rt-s int8".
        automatic: whether the strength follows the estimate.
        estimated: estimated noise, 8-bit scale; None where nothing could be told yet.
        used: strength of the last frame, 8-bit scale.
        mix: share of the denoised picture.
        captured_fps: frames per second the source gave of late.
        shown_fps: frames per second that came out of late.
        frames_in, frames_out: since the start.
        dropped: frames left out because newer ones had come.
        late: frames left out because they were older than the bound on latency.
        latency: capture to display of late, in milliseconds; where nothing displays, to the denoised frame.
        recording: path of the file being recorded; None when there is none.
        recorded_seconds: its length so far.
        outputs: one line on each further output.
        seconds: the session has run.
        size: (width, height) of a picture, as it is denoised; None before the first.
        scale: which share of the source's size that is, such as "1/2".
        automatic_scale: whether the share is chosen so that the source's rate is kept.
    """

    source: str
    state: SourceState
    message: str | None
    backend: str
    automatic: bool
    estimated: float | None
    used: float
    mix: float
    captured_fps: float
    shown_fps: float
    frames_in: int
    frames_out: int
    dropped: int
    late: int
    latency: Latency
    recording: str | None = None
    recorded_seconds: float = 0.0
    outputs: tuple[str, ...] = ()
    seconds: float = 0.0
    size: tuple[int, int] | None = None
    scale: str = "1"
    automatic_scale: bool = False


class Rate:
    """Events per second of late; from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: deque[tuple[float, float]] = deque(maxlen=_MOST)

    def add(self, instant: float, seconds: float = 0.0) -> None:
        """An event at ``instant`` on the clock of ``time.monotonic``; ``seconds``: on a clock of its own, if any."""
        with self._lock:
            self._events.append((instant, seconds))

    def fps(self, now: float | None = None) -> float:
        """Of the last few seconds before ``now``; 0 where there were hardly any."""
        now = time.monotonic() if now is None else now
        with self._lock:
            recent = [event for event in self._events if event[0] > now - _SPAN]
        if len(recent) < 2:
            return 0.0
        (first, begin), (last, end) = recent[0], recent[-1]
        # A connection may begin with a second of pictures at once: by the clock alone, that would be a high rate.
        span = max((last if now - last < _PAUSE else now) - first, end - begin)
        return (len(recent) - 1) / span if span > 0 else 0.0


class Meter:
    """Counts what comes out of a session and how old it is. From any thread.

    Attributes:
        frames_out: frames that came out.
        late: of them, those that were not given to the viewers for their age.
        last: the last frame; None before the first.
    """

    def __init__(self) -> None:
        self.frames_out = 0
        self.late = 0
        self.last: LiveFrame | None = None
        self._lock = threading.Lock()
        self._out = Rate()
        self._ages: deque[tuple[float, float]] = deque(maxlen=_MOST)
        self._last_late = float("-inf")
        self._begin = time.monotonic()
        self._end: float | None = None

    def start(self) -> None:
        """The session begins now; what it took to open is not counted."""
        self._begin = time.monotonic()

    def stop(self) -> None:
        """The last picture has come; from now on the figures stay as they are."""
        self._end = self._end or time.monotonic()

    @property
    def seconds(self) -> float:
        """From ``start`` to ``stop``, or to now."""
        return self._now - self._begin

    @property
    def _now(self) -> float:
        return time.monotonic() if self._end is None else self._end

    def add_out(self, frame: LiveFrame, *, late: bool) -> None:
        """A frame has been denoised; ``late``: it was not given to the viewers for its age."""
        now = time.monotonic()
        self._out.add(now)
        self.frames_out, self.last = self.frames_out + 1, frame
        if late:
            self.late, self._last_late = self.late + 1, now

    def add_age(self, seconds: float) -> None:
        """A frame was so old when it reached its end."""
        with self._lock:
            self._ages.append((time.monotonic(), seconds))

    @property
    def late_now(self) -> bool:
        """Whether frames were too old within the last second."""
        return time.monotonic() - self._last_late < 1

    @property
    def fps(self) -> float:
        """Frames per second that came out of late."""
        return self._out.fps(self._now)

    @property
    def latency(self) -> Latency:
        """Percentiles of the ages of late, in milliseconds."""
        oldest = self._now - _SPAN
        with self._lock:
            ages = [age for instant, age in self._ages if instant >= oldest]
        return percentiles(ages)


class StatusLine:
    """One line at a time, from any thread; the newest wins."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._text: str | None = None
        self._until = 0.0

    def say(self, text: str) -> None:
        """Show a line for a few seconds."""
        with self._lock:
            self._text, self._until = text, time.monotonic() + _SECONDS

    def warn(self, text: str) -> None:
        """The same for what went wrong; it is logged too, for sessions that nobody looks at."""
        log.warning("%s", text)
        self.say(text)

    @property
    def text(self) -> str | None:
        """What to show now."""
        with self._lock:
            return self._text if time.monotonic() < self._until else None


@dataclass(frozen=True, kw_only=True)
class LiveReport(Statistics):
    """The last snapshot, of a session that has ended; ``backend`` says also why that one ran.

    Attributes:
        reconnects: times the source was lost and found again.
        untouched: frames that strength "auto" left as they were, for it found next to no noise.
        saved: recordings that were finished.
        notes: what else there is to say, one line each.
        problems: what went wrong on the way with recordings and outputs, one line each.
    """

    reconnects: int
    untouched: int
    saved: tuple[Path, ...]
    notes: tuple[str, ...]
    problems: tuple[str, ...]

    def summary(self) -> str:
        """A few lines for the user."""
        fps = self.frames_out / self.seconds if self.seconds > 0 else 0.0
        counts = f"{self.frames_in} frames in, {self.frames_out} out, {self.dropped} dropped"
        if self.late:
            counts += f", {self.late} too late to be shown"
        if self.reconnects:
            counts += f", {self.reconnects} reconnects"
        lines = [f"{counts}; {fps:.1f} fps over {self.seconds:.1f} s"]
        if self.latency.p95:  # a page that nobody looked at has none
            lines.append(f"latency p50 {self.latency.p50:.0f} ms, p95 {self.latency.p95:.0f} ms")
        if self.frames_out:
            lines.append(f"strength {self.used:.1f} at the end")
        if self.untouched > self.frames_out / 2:
            lines.append(ALMOST_NO_NOISE)
        return "\n".join([*lines, *(f"wrote {path}" for path in self.saved), *self.notes, *self.problems])
