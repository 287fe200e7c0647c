"""Many picture files, some of them at once: what fails stops no other, and memory is waited for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from queue import LifoQueue
from typing import Protocol

from malle_rt.backends.base import usable_cpus
from malle_rt.config import DenoiseConfig
from malle_rt.photo.denoiser import PhotoDenoiser
from malle_rt.photo.job import PhotoReport

__all__ = ["PhotoBatch", "Watcher", "open_denoisers"]

Clean = Callable[[PhotoDenoiser, Path, Path, Callable[[float], None]], PhotoReport]


class Watcher(Protocol):
    """Who is told how it goes; by one thread at a time."""

    def went_on(self, source: Path, share: float) -> None:
        """Of one picture, this share is done."""
        ...

    def ended(self, source: Path, outcome: PhotoReport | Exception) -> None:
        """A picture is done, or has failed."""
        ...


class _Stopped(Exception):
    """The batch is to end."""


class PhotoBatch:
    """Picture files on their way to clean ones.

    Attributes:
        done: pictures that have been cleaned.
    """

    def __init__(
        self,
        pairs: Sequence[tuple[Path, Path]],
        clean: Clean,
        denoisers: Sequence[PhotoDenoiser],
    ) -> None:
        """Nothing is opened.

        Args:
            pairs: each source and its output, no output twice.
            clean: does one of them; told what to report the share to that is done.
            denoisers: at least one; as many pictures are cleaned at once. They stay the caller's.
        """
        self.done = 0
        self._pairs, self._clean = pairs, clean
        self._idle: LifoQueue[PhotoDenoiser] = LifoQueue()
        for denoiser in denoisers:
            self._idle.put(denoiser)
        self._jobs = len(denoisers)
        self._stopped = threading.Event()
        self._telling = threading.Lock()

    def run(self, watcher: Watcher) -> None:
        """Clean them, to the end or until ``stop``."""
        with ThreadPoolExecutor(self._jobs, thread_name_prefix="malle-photo") as threads:
            running = {threads.submit(self._one, *pair, watcher): pair[0] for pair in self._pairs}
            for each in as_completed(running):
                error = each.exception()
                if isinstance(error, _Stopped):
                    continue
                if error is not None and not isinstance(error, Exception):
                    raise error
                self.done += error is None
                with self._telling:
                    watcher.ended(running[each], error or each.result())

    def stop(self) -> None:
        """End soon; pictures that are not done leave nothing. From any thread or a signal handler."""
        self._stopped.set()

    def leave(self) -> None:
        """For a process that ends at once: nothing stays of the pictures that are not done."""

    def _one(self, source: Path, target: Path, watcher: Watcher) -> PhotoReport:
        def went_on(share: float) -> None:
            if self._stopped.is_set():
                raise _Stopped
            with self._telling:
                watcher.went_on(source, share)

        if self._stopped.is_set():
            raise _Stopped
        with self._denoiser() as denoiser:
            return self._clean(denoiser, source, target, went_on)

    @contextmanager
    def _denoiser(self) -> Iterator[PhotoDenoiser]:
        denoiser = self._idle.get()  # there are as many as threads
        try:
            yield denoiser
        finally:
            self._idle.put(denoiser)


def open_denoisers(config: DenoiseConfig, jobs: int) -> list[PhotoDenoiser]:
    """One for each of the pictures that are cleaned at once, which share the processor. Errors as of each."""
    if config.backend in ("auto", "openvino"):
        config = replace(config, threads=max(1, usable_cpus() // jobs))
    return [PhotoDenoiser(config=config) for _ in range(jobs)]
