"""Source, denoiser and sink at work at the same time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, runtime_checkable

from malle_rt.errors import PipelineError
from malle_rt.frame import Frame
from malle_rt.pipeline.channel import Channel
from malle_rt.pipeline.config import PipelineConfig
from malle_rt.pipeline.lookahead import Lookahead
from malle_rt.pipeline.stage import Failures, Stage
from malle_rt.pipeline.stats import Progress, Report, Stats
from malle_rt.protocols import Denoiser, Sink, Source

__all__ = ["Pipeline", "PushSource"]

# Seconds between two looks at the stages; also how long Ctrl-C may go unnoticed.
_POLL = 0.05
# Seconds after ``stop`` in which a source must come back; frames that were read by then are still denoised.
_STALLED = 0.5
# Seconds after ``stop`` from which frames that were read are not denoised any more.
_LATE = 1.0
# Seconds between two calls of on_progress.
_PROGRESS = 0.25


@runtime_checkable
class PushSource(Protocol):
    """A source with threads of its own, which put frames and packets where the pipeline takes them."""

    @property
    def channel(self) -> Channel:
        """Where they come; closed at the end of the input and soon after ``interrupt``."""
        ...

    @property
    def failure(self) -> Exception | None:
        """Why the input ended, if not well; known before the channel is closed."""
        ...

    def interrupt(self) -> None:
        """End as if the input had ended. From any thread or a signal handler; returns at once."""
        ...

    def close(self) -> None:
        """Release the input. May be called twice."""
        ...


class Pipeline:
    """Runs a source, a denoiser and a sink, each in a thread of its own, over bounded channels.

    A ``PushSource`` needs neither a thread nor a channel here: it has both. Used once. It owns the three from
    ``run`` on and closes them however the run ends.
    """

    def __init__(
        self,
        source: Source | PushSource,
        denoiser: Denoiser,
        sink: Sink,
        config: PipelineConfig | None = None,
    ) -> None:
        config = config or PipelineConfig()
        self._source = source
        self._denoiser = denoiser
        self._sink = sink
        self._decoded = source.channel if isinstance(source, PushSource) else Channel(config)
        self._denoised = Channel(config)
        # A plain flag, not an Event: its lock could be held by the very code a signal handler interrupts.
        self._stopping = False
        self._stopped_at = 0.0
        self._interrupted = False
        self._ended = False
        self._abandoned = False
        self._failures = Failures()
        self._stats = Stats()
        self._finished = False
        self._reader: Stage | None = None

    def run(self, on_progress: Callable[[Progress], None] | None = None) -> Report:
        """Process everything; return when the output is finished.

        The first Ctrl-C stops as ``stop`` does, and is raised once the output is safe; the second gives up
        and removes it.

        Args:
            on_progress: called from this thread a few times per second, and when all stages have ended.

        Raises:
            PipelineError: a stage failed; its reason is ``__cause__``. The output is removed by then.
            KeyboardInterrupt: after Ctrl-C.
        """
        self._stats = Stats()
        stages = self._stages()
        try:
            for stage in stages:
                stage.start()
            self._wait(stages, on_progress)
        except BaseException as error:
            self._cancel(stages, error)
            raise
        finally:
            # Last of all: packets on their way to the sink still refer to the source's container.
            if self._reader is None or self._reader.wait(0):
                self._source.close()
        if (failure := self._failures.first) is not None:
            name, cause = failure
            raise PipelineError(name, cause) from cause
        if self._interrupted:
            raise KeyboardInterrupt
        return self._stats.report(self._decoded.came, self._dropped, stopped=self.stopped)

    @property
    def stopped(self) -> bool:
        """Whether it was asked to stop before the source ended."""
        return self._stopping and not self._ended

    def stop(self) -> None:
        """End early and well: nothing more is read, everything read is written, the output is finished.

        A source that does not come back is left behind. From any thread or a signal handler; returns at once.
        """
        if not self._stopping:
            self._stopped_at = time.perf_counter()
        self._stopping = True
        self._source.interrupt()

    @property
    def _dropped(self) -> int:
        return self._decoded.dropped + self._denoised.dropped

    def _progress(self) -> Progress:
        return self._stats.progress(self._decoded.came, self._dropped)

    def _stages(self) -> list[Stage]:
        decoded, denoised, failures = self._decoded, self._denoised, self._failures
        if not isinstance(self._source, PushSource):
            self._reader = Stage(
                "malle-source",
                partial(self._read, self._source),
                channels=[decoded],
                release=self._close_abandoned,
                failures=failures,
            )
        return [
            *([self._reader] if self._reader is not None else []),
            Stage(
                "malle-denoise",
                self._denoise,
                channels=[decoded, denoised],
                release=self._denoiser.close,
                failures=failures,
            ),
            Stage(
                "malle-sink",
                self._write,
                channels=[denoised],
                release=self._give_up_unfinished,
                failures=failures,
            ),
        ]

    def _wait(self, stages: Sequence[Stage], on_progress: Callable[[Progress], None] | None) -> None:
        due = time.perf_counter() + _PROGRESS
        while True:
            try:
                running = [stage for stage in stages if not stage.wait(_POLL)]
                if not running:
                    if on_progress is not None:
                        on_progress(self._progress())
                    return
                if self._since_stop > _STALLED and self._leave_source(running):
                    return
                if on_progress is not None and time.perf_counter() >= due:
                    due = time.perf_counter() + _PROGRESS
                    on_progress(self._progress())
            except KeyboardInterrupt:
                if self._stopping:
                    raise
                self._interrupted = True
                self.stop()

    @property
    def _since_stop(self) -> float:
        """Seconds since ``stop``; 0 before."""
        return time.perf_counter() - self._stopped_at if self._stopping else 0.0

    def _leave_source(self, running: Sequence[Stage]) -> bool:
        """Let the others end although the source waits for data; whether it is the only one left."""
        self._decoded.close()
        self._abandoned = list(running) == [self._reader]
        return self._abandoned

    def _close_abandoned(self) -> None:
        """The source is released by ``run``, after all stages have ended; too late for one that was left behind."""
        if self._abandoned:
            self._source.close()

    def _cancel(self, stages: Sequence[Stage], error: BaseException) -> None:
        """End all stages as fast as they can; the noted error makes the sink give up."""
        self._failures.add("malle-main", error)
        self.stop()
        self._decoded.close()
        self._denoised.close()
        while running := [stage for stage in stages if not stage.wait(_POLL)]:
            if self._since_stop > _STALLED and self._leave_source(running):
                break
        for stage in stages:
            stage.abandon()

    def _read(self, source: Source) -> None:
        items = iter(source)
        while not self._stopping:
            with self._stats.working("decode"):
                item = next(items, None)
            if item is None:
                self._ended = not self._stopping
                return
            if not self._decoded.put(item):
                return

    def _denoise(self) -> None:
        started = Lookahead(self._denoiser, self._stats)
        for item in self._decoded:
            if self._since_stop > _LATE:
                break
            started.put(item)
            # With nothing left to start, waiting for the oldest result costs no time and saves delay.
            while started and (started.full or not len(self._decoded)):
                if not self._denoised.put(started.take()):
                    return
        if isinstance(self._source, PushSource):
            self._ended = not self._stopping
            if self._source.failure is not None:
                self._failures.add("malle-source", self._source.failure)
        while started:
            if not self._denoised.put(started.take()):
                return

    def _write(self) -> None:
        for item in self._denoised:
            with self._stats.working("encode"):
                self._sink.write(item)
            if isinstance(item, Frame):
                self._stats.frame_out(item.seconds)
        # Stages note an error before they close their channels, so it is known here.
        if self._failures.first is None:
            with self._stats.working("encode"):
                self._sink.finish()
            self._finished = True

    def _give_up_unfinished(self) -> None:
        if not self._finished:
            self._sink.abort()
