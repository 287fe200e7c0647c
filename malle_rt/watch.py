"""A folder whose videos are cleaned as they come: each once it is complete, again where that failed, never for ever.

What has to survive the end of the process is on the disk: outputs say what they were made from, and a small file in
the folder of the outputs counts how often each video was tried. An attempt is counted before it begins, so that a
video on which the process itself dies is given up, too.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import av

from malle_rt.batch import Batch, BatchItem, BatchOptions
from malle_rt.errors import BackendUnavailable, ConfigError, SinkError, SourceError
from malle_rt.inputs import files_below, is_video_name
from malle_rt.media.opening import open_file
from malle_rt.media.output_file import lock_file
from malle_rt.media.own_outputs import clean_name, has_own_name
from malle_rt.media.verify import ends_where_it_says
from malle_rt.memory import lacks_memory
from malle_rt.pipeline import Progress
from malle_rt.segments.conditions import require_segmentable
from malle_rt.segments.job import discard_segments

__all__ = ["FolderWatch", "WatchOptions", "WatchReporter"]

log = logging.getLogger(__name__)

_TICK = 500  # milliseconds that a wait for the file system's events lasts
_RESCAN = (
    30.0  # seconds after which the folder is looked through without an event: some file systems send none
)
_PATIENCE = 24  # times `settle` that a file may stay shorter than its header says
_FIRST_DELAY = 10.0  # seconds before the second attempt; six times as much before each further one
_LONGEST_DELAY = 3600.0
_PAUSE = 60.0  # seconds after a failure that is the machine's
_SPARE = (
    64 << 20
)  # bytes: an output that failed with less than its source and this on the disk failed for want of it
# Failures of disks and networks, which say nothing of a video.
_OF_THE_MACHINE = {
    getattr(errno, name)
    for name in ("ENOSPC", "EDQUOT", "EROFS", "EIO", "ESTALE", "ENOTCONN", "EHOSTDOWN", "ENOMEM", "EMFILE")
    if hasattr(errno, name)
}


@dataclass(frozen=True, kw_only=True)
class WatchOptions:
    """How a folder is watched.

    Attributes:
        batch: what all videos are made with.
        recursive: whether folders in the folder are watched, too; outputs keep their tree.
        settle: seconds in which a complete file does not change.
        tries: attempts at a video before it is given up.
        quarantine: where videos go that were given up, with the reason beside them; None: "quarantine" in the folder.
    """

    batch: BatchOptions
    recursive: bool = False
    settle: float = 5.0
    tries: int = 3
    quarantine: Path | None = None

    def __post_init__(self) -> None:
        if not 0 < self.settle <= 86400:
            raise ConfigError(f"settle must be more than 0 and at most 86400 seconds, got {self.settle:g}")
        if not 1 <= self.tries <= 100:
            raise ConfigError(f"tries must be from 1 to 100, got {self.tries}")


class WatchReporter(Protocol):
    """Who is told how it goes, in the thread that runs it."""

    def began(self, batch: Batch, item: BatchItem, backend: str) -> None:
        """A video is opened and will be run by ``backend``."""
        ...

    def went_on(self, batch: Batch, item: BatchItem, progress: Progress) -> None:
        """A few times per second."""
        ...

    def ended(self, item: BatchItem, error: Exception | None, then: str) -> None:
        """An attempt is over; ``then`` is what becomes of a video that failed, one line."""
        ...


@dataclass
class _Seen:
    """A file of the folder.

    Attributes:
        size, mtime: as it was last looked at.
        since: instant of the clock from which on it has been so.
        due: before which it is not tried.
        settled: whether nothing is to be done any more until it changes.
    """

    size: int
    mtime: int
    since: float
    due: float = 0.0
    settled: bool = False


@dataclass
class _Attempts:
    """At a file as it is now."""

    size: int
    mtime: int
    count: int = 0
    reason: str = ""
    given_up: bool = False


class FolderWatch:
    """Watches a folder; used as a context manager, ``run`` once.

    Attributes:
        done, failed: number of videos so far.
    """

    def __init__(self, folder: Path, output_dir: Path, options: WatchOptions) -> None:
        """Check both folders; that of the outputs is made where there is none.

        Raises:
            ConfigError: one is no folder or cannot be used, segments cannot be made so, or another process watches for
                the same outputs.
        """
        if not folder.is_dir():
            raise ConfigError(f"{folder}: no such folder. Name the folder that videos come into")
        if options.batch.segments:
            require_segmentable(options.batch.transcode)
        self._folder, self._output_dir, self._options = folder, output_dir, options
        self._quarantine = options.quarantine or folder / "quarantine"
        self._stop, self._batch, self._running = threading.Event(), None, ""
        self._files: dict[Path, _Seen] = {}
        self._said = ""
        self._pause = 0.0
        self.done = self.failed = 0
        try:
            output_dir.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(output_dir / ".malle-rt-watch.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as exc:
            raise ConfigError(
                f"{output_dir}: cannot be written ({exc.strerror}). Name another folder"
            ) from exc
        if not lock_file(self._lock):
            os.close(self._lock)
            raise ConfigError(
                f"{output_dir}: another process watches for it. End that one, or name another folder"
            )
        self._record = _Record(output_dir / ".malle-rt-watch.json")

    _batch: Batch | None

    def run(self, reporter: WatchReporter) -> None:
        """Clean what is there and what comes, until ``stop``.

        Raises:
            BackendUnavailable: the backend that was asked for cannot run any more.
            ConfigError, SinkError: the folder, or that of the outputs, is no longer there.
        """
        events = self._events()
        while not self._stop.is_set():
            ready, due = self._look()
            if ready is not None:
                self._clean(ready, reporter)
                continue
            while not self._stop.is_set() and not next(events, False) and time.monotonic() < due:
                pass

    def stop(self) -> None:
        """End soon; what was interrupted is not counted as an attempt. From any thread."""
        self._stop.set()
        if (batch := self._batch) is not None:
            self._record.take_back(self._running)
            batch.stop()

    def leave(self) -> Path | None:
        """For a process that ends at once: what stays of the video that runs."""
        return batch.leave() if (batch := self._batch) is not None else None

    def close(self) -> None:
        """Let others watch. May be called twice."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> FolderWatch:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _events(self) -> Iterator[bool]:
        """Whether something happened in the folder; at least every half second."""
        try:
            import watchfiles
        except ImportError as exc:
            raise ConfigError("watch needs watchfiles: pip install 'malle-rt[watch]'") from exc
        try:
            for changes in watchfiles.watch(
                self._folder,
                watch_filter=None,
                rust_timeout=_TICK,
                yield_on_timeout=True,
                stop_event=self._stop,
                recursive=self._options.recursive,
                ignore_permission_denied=True,
            ):
                yield bool(changes)
        except (OSError, RuntimeError) as exc:  # also: the system's number of watches is used up
            log.warning("%s: no events (%s); it is looked through every %.0f s", self._folder, exc, _RESCAN)
        while not self._stop.wait(_TICK / 1000):
            yield False

    def _look(self) -> tuple[Path | None, float]:
        """The next video that is complete, and when to look again where there is none."""
        now = time.monotonic()
        due = now + _RESCAN
        found: dict[Path, _Seen] = {}
        for path in files_below(
            self._folder,
            [self._output_dir, self._quarantine],
            recursive=self._options.recursive,
            on_error=self._cannot_read,
        ):
            if is_video_name(path) and not has_own_name(path):
                with suppress(OSError):  # gone meanwhile
                    found[path] = self._seen(path, now)
        self._files = found
        self._record.keep({str(path) for path in found})
        waiting = [(each.since, path) for path, each in found.items() if not each.settled]
        for _, path in sorted(waiting):
            seen = found[path]
            begin = max(seen.since + self._options.settle, seen.due, self._pause)
            if begin > now:
                due = min(due, begin)
            elif self._output_of(path).exists() or not (reason := self._incomplete(path, seen, now)):
                return path, now
            else:
                log.info("%s: %s", path, reason)
                seen.due = now + self._options.settle
                due = min(due, seen.due)
        return None, due

    def _cannot_read(self, error: OSError) -> None:
        if Path(error.filename) == self._folder:
            raise ConfigError(f"{self._folder}: can no longer be read ({error.strerror})") from error
        log.warning("%s: cannot be read (%s), and is left out", error.filename, error.strerror)

    def _seen(self, path: Path, now: float) -> _Seen:
        status = path.stat()
        seen = self._files.get(path)
        if seen is not None and (seen.size, seen.mtime) == (status.st_size, status.st_mtime_ns):
            return seen
        seen = _Seen(status.st_size, status.st_mtime_ns, now)
        attempts = self._record.get(path)
        seen.settled = attempts is not None and attempts.given_up and self._is_of(attempts, seen)
        return seen

    def _incomplete(self, path: Path, seen: _Seen, now: float) -> str:
        """Why a file that has not changed for a while is not complete yet; "" where it is, or time is up."""
        if not seen.size:
            return "it is empty so far"
        if _is_being_written(path):
            return "a program still has it open for writing"
        if now - seen.since < _PATIENCE * self._options.settle:
            try:
                with open_file(path) as container:
                    if not ends_where_it_says(container):
                        return "it is shorter than its header says"
            except (av.error.FFmpegError, OSError, ValueError, IndexError, SourceError):
                return ""  # the attempt will say what is wrong, and there will be others
        return ""

    def _output_of(self, path: Path) -> Path:
        return self._output_dir / path.relative_to(self._folder).parent / clean_name(path)

    @staticmethod
    def _is_of(attempts: _Attempts, seen: _Seen) -> bool:
        return (attempts.size, attempts.mtime) == (seen.size, seen.mtime)

    def _clean(self, path: Path, reporter: WatchReporter) -> None:
        seen = self._files[path]
        attempts = self._record.get(path)
        if attempts is None or not self._is_of(attempts, seen):
            attempts = _Attempts(seen.size, seen.mtime)
        if attempts.count >= self._options.tries:  # the process died in the last one
            reason = attempts.reason or "malle-rt ended while it was cleaned"
            self._give_up(
                path,
                attempts,
                BatchItem(path, self._output_of(path), outcome="failed", reason=reason),
                None,
                reporter,
            )
            return
        if (other := self._with_same_output(path)) is not None:
            reason = f"{path} and {other} would both become {self._output_of(path)}. Rename one"
            seen.settled = True
            reporter.ended(
                BatchItem(path, self._output_of(path), outcome="failed", reason=reason),
                None,
                "it is left as it is",
            )
            return
        told = _Told(reporter)
        try:
            batch = Batch([(path, self._output_of(path))], self._options.batch)
        except ConfigError as exc:
            item = BatchItem(path, self._output_of(path), outcome="failed", reason=str(exc))
            self._give_up(path, attempts, item, exc, reporter)
            return
        item = batch.items[0]
        if item.outcome == "waiting":
            attempts.count += 1
            self._record.put(path, attempts)
        told.batch, self._running, self._batch = batch, str(path), batch
        if self._stop.is_set():
            self.stop()
        batch.run(told)
        self._batch = None
        if item.outcome == "stopped":
            reporter.ended(item, None, item.reason)
            return
        if told.error is not None:
            self._failed(path, attempts, item, told.error, reporter)
            return
        self._record.forget(path)
        seen.settled = True
        self.done += item.outcome in ("done", "losses")
        reporter.ended(item, None, "it is left as it is" if item.outcome == "failed" else "")

    def _with_same_output(self, path: Path) -> Path | None:
        """A video that was cleaned before, to the place where this one's result belongs."""
        output = self._output_of(path)
        same = (
            each for each, seen in self._files.items() if seen.settled and self._output_of(each) == output
        )
        return next(same, None)

    def _failed(
        self, path: Path, attempts: _Attempts, item: BatchItem, error: Exception, reporter: WatchReporter
    ) -> None:
        """An attempt at a video, or the machine."""
        if isinstance(error, BackendUnavailable):
            self._record.take_back(str(path))
            raise error
        if not path.exists():  # taken away: nothing is left to be tried
            self._record.forget(path)
            reporter.ended(item, error, "it is no longer there")
            return
        if self._is_the_machines(error, item):
            self._record.take_back(str(path))
            self._pause = time.monotonic() + _PAUSE
            if self._said != str(error):
                self._said = str(error)
                reporter.ended(item, error, f"all wait, and it is tried again every {_PAUSE:.0f} s")
            return
        self._said = ""
        attempts.reason = str(error)
        left = self._options.tries - attempts.count
        if left <= 0 or isinstance(error, ConfigError):
            self._give_up(path, attempts, item, error, reporter)
            return
        self._record.put(path, attempts)
        delay = min(_FIRST_DELAY * 6 ** (attempts.count - 1), _LONGEST_DELAY)
        self._files[path].due = time.monotonic() + delay
        reporter.ended(
            item, error, f"attempt {attempts.count} of {self._options.tries}; again in {delay:.0f} s"
        )

    def _is_the_machines(self, error: Exception, item: BatchItem) -> bool:
        """Whether any other video would fail likewise now."""
        cause: BaseException | None = error
        while cause is not None:
            if (
                isinstance(cause, OSError)
                and cause.errno in _OF_THE_MACHINE
                and not isinstance(error, SourceError)
            ):
                return True
            cause = cause.__cause__
        if lacks_memory(error):
            return False  # it may be this video that is too large
        if isinstance(error, SinkError):
            try:
                return shutil.disk_usage(self._output_dir).free < item.source.stat().st_size + _SPARE
            except OSError:
                return True
        return False

    def _give_up(
        self,
        path: Path,
        attempts: _Attempts,
        item: BatchItem,
        error: Exception | None,
        reporter: WatchReporter,
    ) -> None:
        """Put a video aside with the reason; where that cannot be, remember it."""
        self.failed += 1
        discard_segments(item.output)
        count = f"{attempts.count} attempt{'s' if attempts.count != 1 else ''}"
        place = self._free_name(self._quarantine / path.relative_to(self._folder))
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            reason = (
                f"{item.reason}\n\n{path}\n{count}, the last on {time.strftime('%Y-%m-%d %H:%M:%S %z')}\n"
            )
            place.with_name(f"{place.name}.reason.txt").write_text(reason, errors="surrogateescape")
            _move(path, place)
        except OSError as exc:
            attempts.given_up, attempts.reason = True, item.reason
            self._record.put(path, attempts)
            self._files[path].settled = True
            reporter.ended(item, error, f"given up after {count}, and left: {place}: {exc.strerror}")
            return
        self._record.forget(path)
        self._files.pop(path, None)
        reporter.ended(item, error, f"given up after {count}: it is {place} now")

    @staticmethod
    def _free_name(place: Path) -> Path:
        """A name that nothing has."""
        number, free = 1, place
        while os.path.lexists(free):
            number += 1
            free = place.with_name(f"{place.stem}-{number}{place.suffix}")
        return free


class _Told:
    """Tells a reporter what a batch of one video tells."""

    batch: Batch

    def __init__(self, reporter: WatchReporter) -> None:
        self._reporter = reporter
        self.error: Exception | None = None

    def began(self, item: BatchItem, backend: str) -> None:
        self._reporter.began(self.batch, item, backend)

    def went_on(self, item: BatchItem, progress: Progress) -> None:
        self._reporter.went_on(self.batch, item, progress)

    def ended(self, _: BatchItem, error: Exception | None) -> None:
        self.error = error


class _Record:
    """Attempts at files, by their paths, on the disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._guard = threading.Lock()
        self._all: dict[str, _Attempts] = {}
        try:
            self._all = {name: _Attempts(**each) for name, each in json.loads(path.read_text()).items()}
        except FileNotFoundError:
            pass
        except (OSError, ValueError, TypeError, AttributeError) as exc:
            log.warning("%s: cannot be read (%s); attempts are counted anew", path, exc)

    def get(self, path: Path) -> _Attempts | None:
        """At a file; None where there was none."""
        return self._all.get(str(path))

    def put(self, path: Path, attempts: _Attempts) -> None:
        """Remember them."""
        with self._guard:
            self._all[str(path)] = attempts
            self._save()

    def take_back(self, name: str) -> None:
        """The last attempt does not count."""
        with self._guard:
            attempts = self._all.get(name)
            if attempts is not None and attempts.count:
                attempts.count -= 1
                self._save()

    def forget(self, path: Path) -> None:
        """There is nothing to remember any more."""
        self.keep({name for name in self._all if name != str(path)})

    def keep(self, names: set[str]) -> None:
        """Forget all but these."""
        with self._guard:
            gone = [name for name in self._all if name not in names]
            for name in gone:
                del self._all[name]
            if gone:
                self._save()

    def _save(self) -> None:
        partial = self._path.with_name(f"{self._path.name}.partial")
        try:
            with partial.open("w") as file:
                json.dump({name: asdict(each) for name, each in self._all.items()}, file)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self._path)
        except OSError as exc:  # the disk may be full; what is known stays known in this process
            log.warning("%s: cannot be written (%s)", self._path, exc.strerror)


def _is_being_written(path: Path) -> bool:
    """Whether a process has the file open for writing, as far as the system tells this user."""
    if not sys.platform.startswith("linux"):
        return False
    import fcntl

    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        # The system gives a lease for reading only where nobody writes. Who opens the file for writing meanwhile waits
        # until it is given back, and this process gets a signal, which is to be one that it does not notice.
        fcntl.fcntl(handle, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as exc:  # another user's file, or a file system without leases: nothing is known
        return exc.errno == errno.EAGAIN
    finally:
        os.close(handle)
    return False


def _move(path: Path, place: Path) -> None:
    """Whole or not at all, also to another file system."""
    try:
        path.replace(place)
    except OSError as exc:
        if exc.errno != errno.EXDEV:
            raise
        partial = place.with_name(f"{place.name}.partial")
        try:
            shutil.copy2(path, partial)
            partial.replace(place)
        finally:
            partial.unlink(missing_ok=True)
        path.unlink()
