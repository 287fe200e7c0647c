"""``malle-rt watch IN OUT``: videos that come into a folder are cleaned into another."""

from __future__ import annotations

import argparse
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from malle_rt.cli.json_lines import JsonLines
from malle_rt.cli.options import encode_config
from malle_rt.cli.progress import ProgressBar, clock
from malle_rt.cli.signals import watched_signals
from malle_rt.cli.telling import report_error
from malle_rt.cli.transcode import add_transcoding, cluster_of, in_segments, transcode_options

if TYPE_CHECKING:
    from malle_rt.batch import Batch, BatchItem
    from malle_rt.media.encode_config import EncodeConfig
    from malle_rt.pipeline import Progress
    from malle_rt.watch import WatchOptions

__all__ = ["add_parser", "run"]

_EPILOG = """\
examples:
  malle-rt watch incoming clean                     clean/NAME.clean.EXT of each video that comes; Ctrl-C ends it
  malle-rt watch incoming clean --recursive --resume --strength 8

docs/watch.md has a systemd unit and a container. Needs the extra "watch": pip install 'malle-rt[watch]'

exit codes: 130, 143, 129 ended by Ctrl-C, SIGTERM, SIGHUP; 2 options or folders that cannot work; 1 any other failure.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "watch",
        help="denoise the videos that come into a folder",
        description="Denoise each video of a folder once it is complete, and those that come. Ended and started again, "
        "it goes on.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    # What belongs to one video.
    parser.set_defaults(
        run=run, compare=None, keep_partial=False, format=None, fps=None, start=None, duration=None
    )
    parser.add_argument(
        "folder", metavar="IN", help="folder that videos come into; nothing in it is changed but what fails"
    )
    parser.add_argument("output_dir", metavar="OUT", help="folder of the results, NAME.clean.EXT; is made")
    group = parser.add_argument_group("watching")
    group.add_argument("--recursive", action="store_true", help="also the folders in IN, in OUT likewise")
    group.add_argument(
        "--settle",
        type=float,
        default=5.0,
        metavar="SECONDS",
        help="a video is complete when it has not changed for so long, no program writes it, and it is as long as it "
        "says (5)",
    )
    group.add_argument(
        "--tries", type=int, default=3, metavar="N", help="attempts at a video, with growing pauses (3)"
    )
    group.add_argument(
        "--quarantine",
        metavar="DIR",
        help="where videos are moved after that, each with NAME.reason.txt (IN/quarantine)",
    )
    add_transcoding(parser)
    parser.add_argument(
        "--overwrite", action="store_true", help="replace outputs of other sources or options"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="only failures")


def run(options: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    with watched_signals() as ending:  # before anything slow
        from malle_rt.media.output_file import discard_claimed
        from malle_rt.watch import FolderWatch

        ending.discard = discard_claimed
        watch_options = _watch_options(options)
        reporter = _Json() if options.progress == "json" else _Text(options)
        with FolderWatch(Path(options.folder), Path(options.output_dir), watch_options) as watch:
            ending.kept_nothing = lambda: f"{watch.done} videos are done"
            ending.job = watch
            if not options.quiet:
                print(
                    f"watching {options.folder}; results are in {options.output_dir}",
                    file=sys.stderr,
                    flush=True,
                )
            watch.run(reporter)
            if not options.quiet:
                print(f"{watch.done} done, {watch.failed} given up", file=sys.stderr, flush=True)
        code = 128 + ending.received[0] if ending.received else 0
        if any(thread.name == "malle-source" for thread in threading.enumerate()):
            os._exit(code)  # although an input still keeps a thread waiting
    return code


def _watch_options(options: argparse.Namespace) -> WatchOptions:
    from malle_rt.batch import BatchOptions
    from malle_rt.media.encode_config import default_codec
    from malle_rt.watch import WatchOptions

    def encode(output: Path) -> EncodeConfig:
        return encode_config(options, default_codec(output))

    encode(Path("any.mkv"))  # says now what no video could be encoded with
    return WatchOptions(
        batch=BatchOptions(
            transcode=transcode_options(options, None),
            encode=encode,
            segments=in_segments(options),
            jobs=options.jobs or None,
            cluster=cluster_of(options),
        ),
        recursive=options.recursive,
        settle=options.settle,
        tries=options.tries,
        quarantine=Path(options.quarantine) if options.quarantine else None,
    )


class _Text:
    """Tells a person, or a log, on standard error."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._quiet, self._verbose = options.quiet, options.verbose
        self._backend = ""
        self._bar: ProgressBar | None = None

    def began(self, batch: Batch, item: BatchItem, backend: str) -> None:
        if self._quiet:
            return
        if backend != self._backend:
            self._backend = backend
            print(f"backend: {backend}", file=sys.stderr)
        print(f"{item.source} -> {item.output}", file=sys.stderr, flush=True)
        self._bar = ProgressBar(
            sys.stderr,
            backend.split(" (")[0],
            item.frames,
            name=item.source.name,
            written=lambda: batch.written,
        )

    def went_on(self, _: Batch, __: BatchItem, progress: Progress) -> None:
        if self._bar is not None:
            self._bar.update(progress)

    def ended(self, item: BatchItem, error: Exception | None, then: str) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        if error is not None:
            report_error(error, verbose=self._verbose)
        elif item.outcome == "failed":
            print(f"malle-rt: {item.source}: {item.reason}", file=sys.stderr)
        if then:
            print(f"malle-rt: {item.source}: {then}", file=sys.stderr, flush=True)
        elif item.report is not None and not self._quiet:
            pipeline = item.report.pipeline
            losses = f", with losses: {item.reason}" if item.outcome == "losses" else ""
            print(
                f"{item.output}: {pipeline.frames_out} frames in {clock(pipeline.seconds)}{losses}",
                file=sys.stderr,
                flush=True,
            )


class _Json:
    """Tells a program, on standard output."""

    def __init__(self) -> None:
        self._lines = JsonLines(sys.stdout, None)
        self._index = 0
        self._begun = False

    def began(self, _: Batch, item: BatchItem, backend: str) -> None:
        self._index += 1
        self._begun = True
        self._lines.file_start(self._index, item.source, item.output, item.frames, backend)

    def went_on(self, batch: Batch, item: BatchItem, progress: Progress) -> None:
        self._lines.progress(
            self._index, item.frames, progress, share=None, seconds_left=None, written=batch.written
        )

    def ended(self, item: BatchItem, error: Exception | None, then: str) -> None:
        self._index += not self._begun
        self._begun = False
        if error is not None:
            report_error(error, verbose=False)
        reason = "; ".join(part for part in (item.reason, then) if part)
        self._lines.file_end(self._index, item.source, item.output, item.outcome, reason, item.report)
