"""A long video in segments: made one by one or several at once, kept on the disk, and joined at the end.

Only the picture is split.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from malle_rt import __version__
from malle_rt.api import TranscodeOptions, TranscodeReport, copy_times
from malle_rt.backends.base import usable_cpus
from malle_rt.child import ChildEndedError
from malle_rt.cuda.libcuda import device_count
from malle_rt.errors import ConfigError, SinkError
from malle_rt.media.file_sink import FileSink
from malle_rt.media.output_file import OutputFile, lock_file
from malle_rt.media.own_outputs import difference_of, source_digest
from malle_rt.media.segment_file import SegmentFile, join_segments, open_encoder
from malle_rt.memory import require_memory
from malle_rt.models import model_digest
from malle_rt.pipeline import Latency, Progress, Report
from malle_rt.segments.conditions import (
    difference_between,
    likely_jobs,
    require_files,
    require_segmentable,
    with_threads,
)
from malle_rt.segments.plans import DAMAGED, LONGEST, SHORTEST, FirstPass, Folder, Instants, Plan, SegmentWork
from malle_rt.segments.worker import Made, Maker, Makers, SegmentWorker, WorkerProcess

__all__ = ["SegmentedTranscode", "discard_segments", "work_folder"]

log = logging.getLogger(__name__)

_POLL = 0.05
_PROGRESS = 0.25
_SPARE = 32 << 20  # bytes that shall stay free on the disk
# Bits for a pixel before a segment has shown how many it takes: what x264 makes of a clean film is below it.
_EXPECTED = {"ffv1": 8.0, "rawvideo": 12.0, "prores_ks": 3.0, "prores": 3.0, "mjpeg": 2.0}
_BITS = 0.25
_FORMAT = 2  # of the folder
_TRIES = 2  # of a segment whose process has died
_TRIES_OF_CLUSTER = 5
_MOST_SAID = 1000


class SegmentedTranscode:
    """One file on its way to another in segments; used as ``Transcode``.

    Attributes:
        backend: what will run, and why, one line.
        frames: expected number of frames, None when the container does not say.
        jobs: segments that are made at once.
        folder: where they are kept until the end.
    """

    def __init__(
        self,
        source: str | os.PathLike[str],
        output: str | os.PathLike[str],
        options: TranscodeOptions | None = None,
        *,
        jobs: int | None = None,
        cluster: Makers | None = None,
        longest: int = LONGEST,
        shortest: int = SHORTEST,
    ) -> None:
        """Check everything, and go on with what an earlier run has left.

        Args:
            source: path of the noisy video.
            output: path of the result.
            options: how; here the ``gpu`` of their config may be "all": jobs take them in turns. Decoded is always on
                the processor.
            jobs: segments at once; None: as many as make the most of the machine.
            cluster: machines that make them; None: this one. Then ``jobs`` is how many at most.
            longest: frames of a segment; a multiple of 12.
            shortest: frames of one that a cut may end.

        Raises:
            ConfigError: an option, or a combination of them, that cannot work; or segments are there that were made
                from another source or with other options.
            SourceError, SinkError: the input cannot be read, the output not written; another run is at it.
            BackendUnavailable: the backend asked for cannot run here.
        """
        options = options or TranscodeOptions()
        require_segmentable(options)
        location = require_files(source, output)
        config = options.config
        self._gpus: Sequence[int] = ()
        if config.gpu == "all":
            self._gpus = range(device_count())
            config = replace(config, gpu=self._gpus[0])
        encode = options.encoding(output)
        self.folder = work_folder(output)
        self._output, self._overwrite, self._strict = Path(output), options.overwrite, options.strict
        self._times = location if options.keep_times else None
        self._mark = options.mark(location, output)
        self._files = Folder(self.folder)
        self._cluster = cluster
        self._lock: int | None = None
        self._worker: SegmentWorker | None = None
        self._begin_state()
        exists = os.path.lexists(output)
        self._there = exists and bool(self._mark.source) and not difference_of(self._output, self._mark)
        if self._there:
            self.backend, self.frames, self.jobs = "none needed: the output is there already", None, 1
            return
        OutputFile(
            output, overwrite=options.overwrite, source=str(location)
        )  # says now where it may not be written
        with ExitStack() as undo:
            undo.callback(self.close)
            self._work = SegmentWork(
                source=str(location.absolute()),
                output=str(self._output.absolute()),
                folder=str(self.folder.absolute()),
                config=config,
                encode=encode,
                start=options.start,
                duration=options.duration,
                deinterlace=options.deinterlace,
                longest=longest,
                shortest=shortest,
            )
            self._worker = SegmentWorker(self._work)
            self.backend = self._worker.backend
            info = self._worker.info
            cores = config.threads or usable_cpus()
            self.jobs = (
                jobs
                or len(self._gpus)
                or likely_jobs(cores, info.width, info.height, gpu=self._worker.gpu is not None)
            )
            if (
                cluster is not None
            ):  # encoders get the threads that they would have here: the same packets everywhere
                self.jobs = likely_jobs(cores, info.width, info.height, gpu=self._worker.gpu is not None)
            require_memory(info.width, info.height * (1 if cluster is not None else self.jobs))
            container, _ = open_encoder(
                self.folder / "none", self._worker.template, encode, self._output
            )  # says now what is wrong
            container.close()
            self.frames = info.expected_frames
            self._claim(cores)
            self._worker.work = self._work  # with its threads
            self._look_around()
            self._require_space()
            if cluster is not None:
                room = cluster.begin(self._work, self._worker.header, self.backend, lambda: self._stopped)
                self.jobs = min(room, jobs or room)
                self.backend += f"; {self.jobs} jobs in the cluster"
            undo.pop_all()

    def run(self, on_progress: Callable[[Progress], None] | None = None) -> TranscodeReport:
        """Make what is missing, and join all of it, or until ``stop``. Used once.

        Raises:
            PipelineError: a stage failed.
            SourceError, SinkError, ConfigError: the input cannot be read, the output not written. What is done stays,
                and another run goes on with it.
            KeyboardInterrupt: after Ctrl-C.
        """
        if self._there:
            self._files.remove()
            return self._report(note=f"{self._output} is there already, from the same source and options")
        self._started = time.perf_counter()
        try:
            with _said_once():
                self._make_all(on_progress)
                done = not self._stopped and self._join()
            if self._interrupted:
                raise KeyboardInterrupt
            if not done:
                made, known = len(self._made), self._known if self._planned else None
                note = f"{made} of {known if known is not None else 'more'} segments are done, in {self.folder}; "
                return self._report(note=f"{note}the same command goes on")
            self._files.remove()
            if self._times is not None:
                copy_times(self._times, self._output)
            return self._report()
        finally:
            self.close()

    @property
    def written(self) -> int | None:
        """Bytes of the segments that are done."""
        return sum(list(self._made.values()))

    def stop(self) -> None:
        """End early; segments that are done stay. From any thread or a signal handler."""
        self._stopped = True
        for seat in list(self._seats.values()):
            seat.stop()

    def leave(self) -> Path | None:
        """For a process that ends at once: where what was done is."""
        return self.folder if self.folder.exists() else None

    def close(self) -> None:
        """Give up what is open. May be called twice; what is on the disk stays."""
        if self._worker is not None:
            self._worker.close()
        if self._cluster is not None:
            self._cluster.end(finished=hasattr(self, "_end"))
        if self._lock is not None:
            self._files.sweep()
            os.close(self._lock)
            self._lock = None
            if not self._files.job.exists():
                self._files.remove()

    def __enter__(self) -> SegmentedTranscode:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _begin_state(self) -> None:
        self._changed = threading.Condition()
        self._stopped = self._interrupted = self._planned = False
        self._failure: BaseException | None = None
        self._seats: dict[int, Maker] = {}
        self._ready: list[int] = []
        self._tried: dict[int, int] = {}
        self._lengths: dict[int, int] = {}
        self._made: dict[int, int] = {}  # bytes of each segment that is done
        self._now: dict[int, int] = {}  # frames of each that is being made
        self._results: list[Made] = []
        self._earlier = 0
        self._started = time.perf_counter()

    @property
    def _known(self) -> int:
        return len(self._lengths)

    def _claim(self, cores: int) -> None:
        """Take the folder, and see that what is in it may be gone on with."""
        try:
            self.folder.mkdir(exist_ok=True)
            self._lock = os.open(self._files.lock, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as exc:
            raise SinkError(
                f"{self.folder}: cannot be written ({exc.strerror}). Choose another folder for the output"
            ) from exc
        if not lock_file(self._lock):
            os.close(self._lock)
            self._lock = None
            raise SinkError(f"{self._output}: another run is making it now. Wait for its end")
        self._files.sweep()
        found, wanted = self._files.read(self._files.job), self._identity()
        if found is None:
            found = wanted | {"encoder_threads": max(1, cores // self.jobs)}
            self._files.write(self._files.job, found)
        elif (difference := difference_between(found, wanted)) is not None:
            raise ConfigError(
                f"{self.folder} holds segments {difference}. Give the same again, or delete the folder to begin anew"
            )
        config = self._work.config
        if self.jobs > 1 and config.backend in ("auto", "openvino"):
            config = replace(config, threads=max(1, cores // self.jobs))
        self._work = replace(
            self._work, config=config, encode=with_threads(self._work.encode, int(found["encoder_threads"]))
        )

    def _identity(self) -> dict[str, Any]:
        """What must be the same for segments to belong together, as texts."""
        assert self._worker is not None
        work = self._work
        config = asdict(work.config)
        options = {name: str(config[name]) for name in config if name not in ("threads", "gpu")}
        options |= {name: str(value) for name, value in asdict(work.encode).items()}
        for name in ("start", "duration", "deinterlace", "longest", "shortest"):
            options[name] = str(getattr(work, name))
        return {
            "format": _FORMAT,
            "source": source_digest(Path(work.source)),
            "version": f"malle-rt {__version__}, PyAV {av.__version__}",
            "weights": model_digest(work.config.model),
            "backend": self.backend.partition(" on ")[0],
            "options": options,
            "header": self._worker.header,
        }

    def _look_around(self) -> None:
        """What is done already."""
        for number in range(self._files.plans()):
            try:
                plan = Plan.load(self._files.plan(number))
            except DAMAGED:
                self._forget_from(number)
                break
            self._lengths[number] = len(plan)
            try:
                segment = SegmentFile(self._files.segment(number))
                if segment.index.frames != len(plan):
                    raise OSError("another number of frames")
            except (*DAMAGED, TypeError):
                self._files.segment(number).unlink(missing_ok=True)
                self._ready.append(number)
                continue
            self._made[number] = self._files.segment(number).stat().st_size
            self._earlier += len(plan)
        if self._made:
            log.info("%d segments are done already", len(self._made))

    def _forget_from(self, number: int) -> None:
        while self._files.plan(number).exists():
            self._files.plan(number).unlink()
            number += 1
        self._files.end.unlink(missing_ok=True)

    def _make_all(self, on_progress: Callable[[Progress], None] | None) -> None:
        threads = [threading.Thread(target=self._plan_all, name="malle-first-pass")]
        threads += [
            threading.Thread(target=self._serve, args=(seat,), name=f"malle-segments-{seat}")
            for seat in range(self.jobs)
        ]
        for thread in threads:
            thread.start()
        due = 0.0
        while any(thread.is_alive() for thread in threads):
            try:
                for thread in threads:
                    thread.join(_POLL / len(threads))
                if on_progress is not None and time.perf_counter() >= due:
                    due = time.perf_counter() + _PROGRESS
                    on_progress(self._progress())
            except KeyboardInterrupt:
                if self._interrupted:
                    raise
                self._interrupted = True
                self.stop()
            except BaseException:
                self.stop()
                raise
        if self._failure is not None:
            raise self._failure
        if on_progress is not None:
            on_progress(self._progress())

    def _plan_all(self) -> None:
        """The first pass, in a thread."""
        try:
            if not self._files.end.exists():
                assert self._worker is not None
                FirstPass(
                    self._work,
                    self._worker.header,
                    looks=self._worker.looks,
                    watches=self._worker.watches,
                    strict=self._strict,
                ).run(self._planned_one, lambda: self._stopped)
            with self._changed:
                self._planned = not self._stopped
        except BaseException as exc:
            self._fail(exc)
        finally:
            with self._changed:
                self._changed.notify_all()

    def _planned_one(self, number: int, frames: int) -> None:
        with self._changed:
            self._lengths[number] = frames
            self._ready.append(number)
            self._changed.notify_all()

    def _serve(self, seat: int) -> None:
        """Make segments as long as there are some, in a thread."""
        try:
            while (number := self._take()) is not None:
                self._require_space()
                maker = self._seats.get(seat) or self._new_seat(seat)
                if maker is None:
                    with self._changed:
                        self._ready.insert(0, number)
                        self._changed.wait(_PROGRESS)
                    continue
                self._seats[seat] = maker
                if self._stopped:
                    return
                try:
                    made = maker.make(number, lambda frames, number=number: self._went_on(number, frames))  # type: ignore[misc]
                except ChildEndedError as exc:
                    self._seats.pop(seat).close()
                    self._tried[number] = self._tried.get(number, 0) + 1
                    if self._tried[number] >= (_TRIES if self._cluster is None else _TRIES_OF_CLUSTER):
                        raise SinkError(
                            f"segment {number}: the process that made it {exc}, {self._tried[number]} times",
                            hint="Make fewer at once, a smaller jobs=N",
                        ) from exc
                    log.warning("segment %d: the process that made it %s; it is made again", number, exc)
                    with self._changed:
                        self._ready.insert(0, number)
                    continue
                if made is None:
                    return
                with self._changed:
                    self._now.pop(number, None)
                    self._made[number] = self._files.segment(number).stat().st_size
                    self._results.append(made)
        except BaseException as exc:
            self._fail(exc)
        finally:
            if (last := self._seats.pop(seat, None)) is not None:
                last.close()

    def _new_seat(self, seat: int) -> Maker | None:
        if self._cluster is not None:
            return self._cluster.maker()
        assert self._worker is not None
        if self.jobs == 1:
            return self._worker
        gpu = self._gpus[seat % len(self._gpus)] if self._gpus else self._work.config.gpu
        return WorkerProcess(replace(self._work, config=replace(self._work.config, gpu=gpu)))

    def _take(self) -> int | None:
        with self._changed:
            while not self._stopped:
                if self._ready:
                    return self._ready.pop(0)
                if self._planned:
                    return None
                self._changed.wait(_POLL)
        return None

    def _went_on(self, number: int, frames: int) -> None:
        self._now[number] = frames

    def _fail(self, exc: BaseException) -> None:
        with self._changed:
            if self._failure is None and not (self._stopped and isinstance(exc, ChildEndedError)):
                self._failure = exc
        self.stop()

    def _require_space(self) -> None:
        """Check that the disk can take what is still to come.

        Raises:
            SinkError: it cannot; the text has both figures.
        """
        assert self._worker is not None
        frames = sum(self._lengths.get(number, 0) for number in self._made)
        of_all = max(self.frames or 0, sum(self._lengths.values()))
        info = self._worker.info
        bits = _EXPECTED.get(self._work.encode.codec, _BITS)
        each = sum(self._made.values()) / frames if frames else info.width * info.height * bits / 8
        needed = round(each * (of_all - frames) + each * of_all) + _SPARE  # the joined file is a second copy
        free = shutil.disk_usage(self.folder).free
        if needed > free:
            raise SinkError(
                f"{self._output}: about {needed / 2**30:.2f} GiB are still needed in {self.folder.parent} for the "
                f"segments and the video made of them, {free / 2**30:.2f} GiB are free. Free some; the same command "
                "then goes on"
            )

    def _join(self) -> bool:
        """Put the segments and the rest of the source into the output; False where it was stopped."""
        end = self._files.read(self._files.end)
        if end is None or len(self._made) != end["segments"]:
            raise SinkError(f"{self.folder}: segments are missing; run the same command again")
        segments = [SegmentFile(self._files.segment(number)) for number in range(end["segments"])]
        unit = Fraction(self._files.read(self._files.job)["header"]["time_base"])
        instants = Instants(self._files, end["segments"], unit)
        source = self._work.open()
        try:
            sink = FileSink(
                self._output,
                source,
                self._work.encode,
                self._overwrite,
                stopped=lambda: self._stopped,
                mark=self._mark,
                mark_beside=True,
            )
            try:
                if not join_segments(sink, source, segments, list(instants), lambda: self._stopped):
                    sink.abort()
                    return False
                sink.finish()
            except BaseException:
                sink.abort()
                raise
        finally:
            source.close()
        self._end = end
        return True

    def _progress(self) -> Progress:
        return Progress(**self._figures())

    def _figures(self) -> dict[str, Any]:
        with self._changed:
            done = sum(self._lengths.get(number, 0) for number in self._made) + sum(self._now.values())
            results = list(self._results)
        busy = {name: 0.0 for name in ("decode", "denoise", "encode")}
        for result in results:
            for name, seconds in result.busy.items():
                busy[name] += seconds
        latency = [result.latency for result in results] or [(0.0, 0.0, 0.0)]
        middle = [sorted(each)[len(latency) // 2] for each in zip(*latency, strict=True)]
        return {
            "frames_in": done,
            "frames_out": done,
            "dropped": 0,
            "seconds": time.perf_counter() - self._started,
            "position": None,
            "busy": busy,
            "denoise_ms": Latency(*middle),
            "earlier": self._earlier,
        }

    def _report(self, note: str = "") -> TranscodeReport:
        end = getattr(self, "_end", None) or {"losses": (), "corrupt": 0, "repaired": 0}
        stopped = self._stopped and not hasattr(self, "_end")
        sigmas = [result.sigma for result in self._results if result.sigma is not None]
        return TranscodeReport(
            pipeline=Report(**self._figures(), stopped=stopped),
            backend=self.backend,
            sigma=sigmas[-1] if sigmas else None,
            untouched=sum(result.untouched for result in self._results),
            corrupt_packets=end["corrupt"],
            losses=tuple(end["losses"]),
            repaired_timestamps=end["repaired"],
            output=None if stopped else self._output,
            compare=None,
            note=note,
        )


def work_folder(output: str | os.PathLike[str]) -> Path:
    """Where the segments of an output are kept."""
    path = Path(output)
    return path.with_name(f"{path.name}.segments")


def discard_segments(output: str | os.PathLike[str]) -> None:
    """Remove what runs that did not come to their end have kept of an output."""
    folder = Folder(work_folder(output))
    if folder.path.is_dir():
        folder.remove()


@contextmanager
def _said_once() -> Iterator[None]:
    """Every message of ours is given once: each segment has an encoder that says the same."""
    said: set[str] = set()

    def new(record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if record.levelno < logging.WARNING or len(said) > _MOST_SAID:
            return True
        if text in said:
            return False
        said.add(text)
        return True

    loggers = [
        each
        for name, each in logging.root.manager.loggerDict.items()
        if name.startswith("malle_rt") and isinstance(each, logging.Logger)
    ]
    for each in loggers:
        each.addFilter(new)
    try:
        yield
    finally:
        for each in loggers:
            each.removeFilter(new)
