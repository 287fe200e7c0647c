"""Many files, one after the other: what is done already is left, and one that fails stops no other."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Literal, Protocol

import av

from malle_rt.api import Transcode, TranscodeOptions, TranscodeReport
from malle_rt.errors import BackendUnavailable, SourceError
from malle_rt.media.compat import exact
from malle_rt.media.encode_config import EncodeConfig
from malle_rt.media.opening import main_video, open_file
from malle_rt.media.own_outputs import difference_of, has_own_name, read_mark
from malle_rt.pipeline import Progress
from malle_rt.segments.conditions import require_segmentable
from malle_rt.segments.job import SegmentedTranscode
from malle_rt.segments.worker import Makers

__all__ = ["Batch", "BatchItem", "BatchOptions", "Outcome", "Watcher"]

log = logging.getLogger(__name__)

Outcome = Literal["waiting", "running", "done", "losses", "skipped", "failed", "stopped"]


@dataclass(frozen=True, kw_only=True)
class BatchOptions:
    """What all files are made with.

    Attributes:
        transcode: how; what is for one output is made for each.
        encode: the encoder's settings for an output.
        skip_existing: leave outputs that are whole and were made from the same source with the same options.
        segments: make each in segments, see ``SegmentedTranscode``, so that an interrupted one is gone on with.
        jobs: of these at once; None: as many as make the most of the machine.
        cluster: machines that make the segments; None: this one.
        compare: write a side-by-side picture beside each output.
    """

    transcode: TranscodeOptions
    encode: Callable[[Path], EncodeConfig]
    compare: bool = False
    skip_existing: bool = True
    segments: bool = False
    jobs: int | None = None
    cluster: Makers | None = None


@dataclass
class BatchItem:
    """One file of a batch.

    Attributes:
        source, output: paths.
        options: how the one becomes the other.
        outcome: how far it is, or how it ended.
        reason: why it was skipped, failed or is not whole; one line, or "".
        frames: expected number, None where it is not known.
        work: pixels of all its frames; 0 where that is not known.
        share: of it that is done, 0 to 1.
        report: what its run did.
    """

    source: Path
    output: Path
    options: TranscodeOptions = field(default_factory=TranscodeOptions)
    outcome: Outcome = "waiting"
    reason: str = ""
    frames: int | None = None
    work: float = 0.0
    share: float = 0.0
    report: TranscodeReport | None = None


class Watcher(Protocol):
    """Who is told how a batch goes, in the thread that runs it."""

    def began(self, item: BatchItem, backend: str) -> None:
        """A file is opened and will be run by ``backend``."""
        ...

    def went_on(self, item: BatchItem, progress: Progress) -> None:
        """A few times per second."""
        ...

    def ended(self, item: BatchItem, error: Exception | None) -> None:
        """It has its outcome; ``error`` where that is "failed" and it was tried."""
        ...


class Batch:
    """Files on their way to others, checked and ready to run.

    Attributes:
        items: all of them, in the order they are run.
    """

    def __init__(self, pairs: Sequence[tuple[Path, Path]], options: BatchOptions) -> None:
        """Find out what is to be done; nothing is written.

        Args:
            pairs: each source and its output, no output twice.
            options: for all of them.

        Raises:
            ConfigError: options that fit no output.
        """
        self._options = options
        self._stopped = False
        self._job: Transcode | SegmentedTranscode | None = None
        self._spent = 0.0  # seconds of runs that have ended
        self._running = 0.0  # seconds of the one that runs
        self.items = [BatchItem(source, output, self._options_for(output)) for source, output in pairs]
        for item in self.items:
            self._look_at(item)

    def run(self, watcher: Watcher) -> None:
        """Run what is to be done, to the end or until ``stop``; ``items`` say how each ended."""
        hopeless: Exception | None = None
        for item in self.items:
            error: Exception | None = None
            if item.outcome == "waiting" and not self._stopped:
                error = hopeless
                if error is None:
                    error = self._run(item, watcher)
                    # What runs is the same for all: where it cannot run for one it cannot for the others.
                    hopeless = error if isinstance(error, BackendUnavailable) else None
                if error is not None:
                    item.outcome, item.reason = "failed", str(error)
            if item.outcome == "waiting":
                item.outcome, item.reason = "stopped", "not begun"
            watcher.ended(item, error)

    def stop(self) -> None:
        """End early: the file that runs becomes OUT.partial.EXT; from any thread or a signal handler."""
        self._stopped = True
        if (job := self._job) is not None:
            job.stop()

    def leave(self) -> Path | None:
        """For a process that ends at once: what stays of the file that runs; see ``Transcode.leave``."""
        return job.leave() if (job := self._job) is not None else None

    @property
    def share(self) -> float:
        """How much of all is done, 0 to 1, by the number of pixels."""
        work = self._work()
        return sum(each.share * amount for each, amount in work) / (sum(amount for _, amount in work) or 1)

    @property
    def seconds_left(self) -> float | None:
        """How long all that is left will take, as fast as it has gone so far; None: that is not known yet."""
        share, spent = self.share, self._spent + self._running
        return spent * (1 - share) / share if share > 0 else None

    def count(self, outcome: str) -> int:
        """Files with this outcome."""
        return sum(each.outcome == outcome for each in self.items)

    def _work(self) -> list[tuple[BatchItem, float]]:
        """What was or is to be run and its pixels; of those that do not say, the mean of the others."""
        own = [each for each in self.items if each.outcome not in ("skipped", "failed") or each.share]
        known = [each.work for each in own if each.work]
        mean = sum(known) / len(known) if known else 1.0
        return [(each, each.work or mean) for each in own]

    @property
    def written(self) -> int | None:
        """Bytes of the running video's output; None where that is not known."""
        return job.written if (job := self._job) is not None else None

    def _run(self, item: BatchItem, watcher: Watcher) -> Exception | None:
        begin = time.monotonic()
        item.outcome = "running"
        try:
            item.output.parent.mkdir(parents=True, exist_ok=True)
            with self._open(item) as job:
                self._job = job
                if self._stopped:  # while it was being opened
                    item.outcome, item.reason = "stopped", "not begun"
                    return None
                watcher.began(item, job.backend)
                item.report = job.run(lambda progress: self._went_on(item, watcher, progress))
        except Exception as exc:  # also what nobody foresaw ends this file only
            item.share = 1.0 if item.share else 0.0
            return exc
        finally:
            self._job = None
            self._spent += time.monotonic() - begin
            self._running = 0.0
        self._conclude(item, item.report)
        return None

    def _conclude(self, item: BatchItem, report: TranscodeReport) -> None:
        if report.pipeline.stopped:
            item.outcome = "stopped"
            kept = item.output.with_name(report.output.name) if report.output else None
            item.reason = report.note or (f"what was done is in {kept}" if kept else "nothing was done")
            return
        item.share = 1.0
        item.outcome = "done"
        if report.losses:
            item.outcome, item.reason = "losses", "; ".join(report.losses)

    def _went_on(self, item: BatchItem, watcher: Watcher, progress: Progress) -> None:
        self._running = progress.seconds
        if item.frames:
            item.share = min(progress.frames_out / item.frames, 1.0)
        watcher.went_on(item, progress)

    def _options_for(self, output: Path) -> TranscodeOptions:
        found = replace(
            self._options.transcode,
            encode=self._options.encode(output),
            compare=output.with_suffix(".compare.png") if self._options.compare else None,
            mark_beside=True,
        )
        if self._options.segments:
            require_segmentable(found)
        return found

    def _open(self, item: BatchItem) -> Transcode | SegmentedTranscode:
        if self._options.segments:
            return SegmentedTranscode(
                item.source,
                item.output,
                item.options,
                jobs=self._options.jobs,
                cluster=self._options.cluster,
            )
        return Transcode(item.source, item.output, item.options)

    def _look_at(self, item: BatchItem) -> None:
        """What the file promises, and whether it is to be run."""
        own = has_own_name(item.source)
        try:
            with open_file(item.source) as container:
                own = own or read_mark(container) is not None
                video = main_video(container, str(item.source))
                rate = exact(video.average_rate) if video.average_rate else None
                length = container.duration
                frames = video.frames or (rate and length and round(rate * length / av.time_base)) or None
                item.frames = self._part(frames, rate)
                item.work = float((item.frames or 0) * video.width * video.height)
        except (av.error.FFmpegError, OSError, ValueError, SourceError):
            log.debug("%s says nothing of itself", item.source, exc_info=True)  # its run will say why
        if own:
            item.outcome, item.reason = "skipped", "an output of malle-rt; to clean it again, give IN and OUT"
        elif os.path.lexists(item.output):
            self._compare(item)

    def _part(self, frames: int | None, rate: Fraction | None) -> int | None:
        if frames is None or not rate:
            return frames
        part = self._options.transcode
        if part.start is not None:
            frames = max(0, frames - round(part.start * rate))
        if part.duration is not None:
            frames = min(frames, round(part.duration * rate))
        return frames or None

    def _compare(self, item: BatchItem) -> None:
        """What becomes of an output that is there."""
        difference = difference_of(item.output, item.options.mark(item.source, item.output))
        if not difference and self._options.skip_existing:
            item.outcome, item.reason = "skipped", "is there already, from the same source and options"
            return
        difference = difference or "is there already"
        if item.options.overwrite:
            item.reason = f"made again: {item.output} {difference}"
        else:
            item.outcome = "failed"
            item.reason = f"{item.output} {difference}. Pass --overwrite to replace it"
