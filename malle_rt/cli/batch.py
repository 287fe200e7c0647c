"""``malle-rt transcode IN... --output-dir DIR``: many files, one table."""

from __future__ import annotations

import argparse
import os
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from malle_rt.cli.json_lines import OUTCOMES, JsonLines
from malle_rt.cli.options import encode_config
from malle_rt.cli.progress import ProgressBar, clock
from malle_rt.cli.signals import watched_signals
from malle_rt.cli.telling import report_error
from malle_rt.cli.transcode import cluster_of, in_segments, transcode_options
from malle_rt.errors import ConfigError

if TYPE_CHECKING:
    from malle_rt.batch import Batch, BatchItem
    from malle_rt.cli.signals import Ending
    from malle_rt.media.encode_config import EncodeConfig
    from malle_rt.pipeline import Progress

__all__ = ["run_batch"]

_LONGEST_NAME = 48  # characters of a file's name in the table


def run_batch(options: argparse.Namespace) -> int:
    """Clean many files; returns the exit code."""
    with watched_signals() as ending:  # before anything slow
        batch = _plan(options, ending)
        watcher = _Json(batch) if options.progress == "json" else _Text(batch, options)
        ending.kept_nothing = lambda: f"{batch.count('done') + batch.count('losses')} files are done"
        ending.job = batch
        batch.run(watcher)
        code = _exit_code(batch, ending.received)
        watcher.close(code)
        if not options.quiet:
            print(_table(batch), file=sys.stderr if options.progress == "json" else sys.stdout, flush=True)
        if ending.received and any(thread.name == "malle-source" for thread in threading.enumerate()):
            os._exit(code)  # although an input still keeps a thread waiting
    return code


def _plan(options: argparse.Namespace, ending: Ending) -> Batch:
    from malle_rt.batch import Batch, BatchOptions
    from malle_rt.inputs import find_inputs
    from malle_rt.media.encode_config import default_codec
    from malle_rt.media.output_file import discard_claimed

    ending.discard = discard_claimed
    if options.preview:
        raise ConfigError("--preview shows one video: leave out --output-dir, and name one input")
    if options.compare:
        raise ConfigError(
            f"--compare {options.compare} is one picture for many videos: write --compare alone, "
            "and each is named like its video"
        )
    if options.keep_partial:
        raise ConfigError(
            "--keep-partial would give parts the names of whole videos, which the next run then leaves: leave it out"
        )
    if options.format is not None:
        raise ConfigError("--format is for one output: those of many inputs are named by their containers")
    if options.fps is not None:
        raise ConfigError("--fps is for a sequence of pictures, which is cleaned by itself: leave it out")
    folder = Path(options.output_dir)
    if not options.output_dir or (os.path.lexists(folder) and not folder.is_dir()):
        raise ConfigError(f"--output-dir must be a folder, got {options.output_dir!r}")

    def encode(output: Path) -> EncodeConfig:
        return encode_config(options, default_codec(output))

    inputs = find_inputs(options.files, options.list, folder, recursive=options.recursive)
    if inputs.others and not options.quiet:
        others = (
            "1 other file is no video by its name and is"
            if inputs.others == 1
            else f"{inputs.others} other files are no videos by their names and are"
        )
        print(f"{others} left out", file=sys.stderr)
    return Batch(
        inputs.pairs,
        BatchOptions(
            transcode=transcode_options(options, None),
            encode=encode,
            compare=options.compare is not None,
            skip_existing=options.skip_existing is not False,
            segments=in_segments(options),
            jobs=options.jobs or None,
            cluster=cluster_of(options),
        ),
    )


class _Text:
    """Tells a person, on standard error."""

    def __init__(self, batch: Batch, options: argparse.Namespace) -> None:
        self._batch, self._quiet, self._verbose = batch, options.quiet, options.verbose
        self._backend = ""
        self._bar: ProgressBar | None = None

    def began(self, item: BatchItem, backend: str) -> None:
        if self._quiet:
            return
        if backend != self._backend:
            self._backend = backend
            print(f"backend: {backend}", file=sys.stderr)
        number = self._batch.items.index(item) + 1
        print(f"[{number}/{len(self._batch.items)}] {item.source} -> {item.output}", file=sys.stderr)
        self._bar = ProgressBar(
            sys.stderr,
            backend.split(" (")[0],
            item.frames,
            self._of_all,
            name=item.source.name,
            written=lambda: self._batch.written,
        )

    def went_on(self, _: BatchItem, progress: Progress) -> None:
        if self._bar is not None:
            self._bar.update(progress)

    def ended(self, item: BatchItem, error: Exception | None) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        if error is not None:
            report_error(error, verbose=self._verbose)
        elif item.outcome == "failed":
            print(f"malle-rt: error: {item.reason}", file=sys.stderr)
        elif item.outcome == "losses":
            print(f"malle-rt: {item.source}: done, with losses: {item.reason}", file=sys.stderr)

    def close(self, code: int) -> None:
        """All is over."""

    def _of_all(self) -> str:
        left = self._batch.seconds_left
        return f"  all {self._batch.share:.0%}" + (f", ETA {clock(left)}" if left is not None else "")


class _Json:
    """Tells a program, on standard output."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._lines = JsonLines(sys.stdout, len(batch.items))

    def began(self, item: BatchItem, backend: str) -> None:
        self._lines.file_start(self._number(item), item.source, item.output, item.frames, backend)

    def went_on(self, item: BatchItem, progress: Progress) -> None:
        share, left = self._batch.share, self._batch.seconds_left
        self._lines.progress(
            self._number(item),
            item.frames,
            progress,
            share=share,
            seconds_left=left,
            written=self._batch.written,
        )

    def ended(self, item: BatchItem, error: Exception | None) -> None:
        if error is not None:
            report_error(error, verbose=False)
        self._lines.file_end(
            self._number(item), item.source, item.output, item.outcome, item.reason, item.report
        )

    def close(self, code: int) -> None:
        """All is over."""
        self._lines.end({each: self._batch.count(each) for each in OUTCOMES}, code)

    def _number(self, item: BatchItem) -> int:
        return next(number for number, each in enumerate(self._batch.items, 1) if each is item)


def _exit_code(batch: Batch, received: list[int]) -> int:
    if received:
        return 128 + received[0]
    if batch.count("failed"):
        return 1
    return 3 if batch.count("losses") else 0


def _table(batch: Batch) -> str:
    """A row for each file, and the sums."""
    rows = [("file", "outcome", "frames", "fps", "time", "")]
    rows += [_row(item) for item in batch.items]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = [
        f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  "
        + "  ".join(f"{cell:>{width}}" for cell, width in zip(row[2:5], widths[2:], strict=True))
        + f"  {row[5]}"
        for row in rows
    ]
    counts: Counter[str] = Counter(item.outcome for item in batch.items)
    sums = ", ".join(f"{counts[each]} {each}" for each in OUTCOMES if counts[each])
    seconds = sum(item.report.pipeline.seconds for item in batch.items if item.report)
    return "\n".join(
        [*(line.rstrip() for line in lines), f"{len(batch.items)} files: {sums}; {clock(seconds)}"]
    )


def _row(item: BatchItem) -> tuple[str, str, str, str, str, str]:
    name = str(item.source)
    if len(name) > _LONGEST_NAME:
        name = "..." + name[3 - _LONGEST_NAME :]
    told = item.reason.removeprefix(f"{item.source}: ").split(". ")[0]  # the whole was said when it failed
    if item.outcome in ("done", "losses"):
        told = f"{item.output}{f' ({item.reason})' if item.reason else ''}"
    if item.report is None:
        return name, item.outcome, "", "", "", told
    run = item.report.pipeline
    return name, item.outcome, str(run.frames_out), f"{run.fps:.1f}", clock(run.seconds), told
