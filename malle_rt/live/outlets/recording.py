"""Recordings of a session: begun and ended by keys, closed when the source is gone, begun again when it is back."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path

from malle_rt.errors import MalleError, SinkError
from malle_rt.frame import Frame, Packet
from malle_rt.live.fan_out import FanOut
from malle_rt.live.outlets.naming import free_stem
from malle_rt.live.outlets.outlet import Beginning, Outlet, live_template, sized
from malle_rt.live.statistics import StatusLine
from malle_rt.media.encode_config import EncodeConfig
from malle_rt.media.file_sink import FileSink
from malle_rt.media.output_file import OutputFile
from malle_rt.media.output_streams import create_container
from malle_rt.media.template import Template

__all__ = ["Recording", "Recordings"]

# Seconds without a picture after which the file is closed: what was recorded is then safe and playable.
_PATIENCE = 30.0
# Seconds a file may take to be finished at the end; what it lacks then stays beside it, playable, as a partial file.
_FINISHING = 10.0


class Recording:
    """A sink for frames and sound, each at its own instant. The file begins at 0, with the first frame.

    Satisfies ``Sink``. What was recorded is kept whatever happens: it cannot be filmed again.

    Attributes:
        path: of the file.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None,
        template: Template,
        config: EncodeConfig | None = None,
        *,
        overwrite: bool = False,
        folder: Path = Path(),
    ) -> None:
        """Check what can be checked; the file is opened by the first frame.

        Args:
            path: of the file; its extension chooses the container. None: a new name in ``folder``.
            template: the source, for its sound and its colours.
            config: encoder settings; None for the defaults.
            overwrite: whether an existing file may be replaced.
            folder: for files without a name.

        Raises:
            ConfigError: no such container format.
            SinkError: a file may not or cannot be written there.
        """
        self.path = folder / f"{free_stem(folder, ['.mkv'])}.mkv" if path is None else Path(path)
        self._template = live_template(template)
        self._config = config
        self._overwrite = overwrite
        self._sink: FileSink | None = None
        self._beginning: Beginning | None = None
        self._seconds = 0.0
        partial = OutputFile(self.path, overwrite=overwrite, source=template.location).partial
        create_container(partial, self.path, {}).close()  # nothing is on the disk before a header is written

    @property
    def recorded_seconds(self) -> float:
        """From the first frame to the newest."""
        return self._seconds

    def write(self, item: Frame | Packet) -> None:
        """Write a frame, or copy a packet of sound; sound before the first frame is left out.

        Raises:
            ConfigError: the container, the encoder and the settings do not fit together.
            SinkError: the disk is full, or the muxer refuses.
        """
        if isinstance(item, Frame):
            self._write_frame(item)
        elif self._sink is not None and self._beginning is not None:
            packet = self._beginning.packet(item)
            if packet is not None:
                self._write(self._sink, packet)

    def finish(self) -> None:
        """Close the file and let it appear; takes no longer for a long recording.

        Raises:
            SinkError: no frame came, or the file does not hold what was written.
        """
        if self._sink is None:
            raise SinkError(f"{self.path}: no picture came, so nothing was recorded")
        self._sink.finish()

    def abort(self) -> None:
        """Close the file; what was written of it stays. May be called twice."""
        if self._sink is not None:
            self._sink.abort()

    def _write_frame(self, frame: Frame) -> None:
        if self._sink is None or self._beginning is None:
            self._beginning = Beginning(frame)
            self._sink = FileSink(
                self.path, sized(self._template, frame), self._config, overwrite=self._overwrite, live=True
            )
        moved = self._beginning.frame(frame)
        self._write(self._sink, moved)
        self._seconds = float(moved.seconds)

    def _write(self, sink: FileSink, item: Frame | Packet) -> None:
        try:
            sink.write(item)
        except SinkError as exc:
            raise SinkError(f"{exc}. The seconds until then are kept") from exc


class Recordings:
    """At most one recording at a time.

    Args:
        make: opens a recording; None: at a name of its own.
        fan_out: where frames come from.
        status_line: where the user is told.

    Attributes:
        problems: what went wrong with ended recordings, one line each.
        notes: what else is to be said of them.
        paths: files that were finished.
    """

    def __init__(
        self, make: Callable[[Path | None], Recording], fan_out: FanOut, status_line: StatusLine
    ) -> None:
        self._make = make
        self._fan_out = fan_out
        self._status_line = status_line
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
        """Record from the next frame on; nothing happens where a recording is running.

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
            self._status_line.say("nothing will be recorded when the source is back")
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
            taken = {
                recording.path for _, recording in self._ending
            }  # not there yet, where they are being finished
            back = self._waits and lost_since is None
            self._waits = self._waits and not back
        if back and not self._try(self._begin, _next_part(self._base, taken)):
            self.problems.append(
                f"recording: could not go on after the source was lost ({self._status_line.text})"
            )

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
            self._status_line.say(f"recording {recording.path}")
            return recording.path

    def _try(self, begin: Callable[[Path | None], object], path: Path | None) -> bool:
        try:
            begin(path)
        except MalleError as exc:
            self._status_line.warn(str(exc))
            return False
        return True

    def _let_go(self) -> None:
        """Take the current recording out of the stream of frames."""
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
                self._status_line.warn(outlet.problem)
                continue
            self.paths.append(recording.path)
            self._status_line.say(f"saved {recording.path}")
            if outlet.dropped:
                lost = f"{recording.path} lacks {outlet.dropped} frames: encoding was too slow. Try --preset ultrafast"
                self.notes.append(lost)
                self._status_line.warn(lost)


def _next_part(path: Path, taken: Collection[Path]) -> Path:
    """The name of what follows a recording: hall.mkv, hall-2.mkv, hall-3.mkv ...; none of those ``taken``."""
    numbers = itertools.count(2)
    parts = (path.with_stem(f"{path.stem}-{number}") for number in numbers)
    return next(part for part in parts if part not in taken and not part.exists())
