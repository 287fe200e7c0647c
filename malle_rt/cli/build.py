"""``malle-rt build``: make the TensorRT engine of a network before it is needed, or to take it elsewhere."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from malle_rt.cli.telling import in_flags

if TYPE_CHECKING:
    from malle_rt.trt.build import BuildProgress

__all__ = ["add_parser", "run"]

_EPILOG = """\
examples:
  malle-rt build                                        rt-s in fp16 for frames up to 1280x720
  malle-rt build --profile 1080p --precision int8
  malle-rt build --model mallenet-m                     for photographs
  malle-rt build --profile 1920x800 --output film.engine

Engines are kept in the user's cache folder and used from there. One made on a machine without a GPU (TensorRT-RTX
only) has not been run.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "build",
        help="build a TensorRT engine",
        description="Build the TensorRT engine of a network, unless there is one already.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "--backend", metavar="NAME", help="tensorrt or tensorrt-rtx (default: the installed one)"
    )
    parser.add_argument("--model", default="rt-s", metavar="NAME", help="network (rt-s)")
    parser.add_argument(
        "--profile",
        metavar="NAME|WxH",
        help="frame sizes: 360p, 720p, 1080p, 4k or one size (720p); photo, the tiles of mallenet-s and -m",
    )
    parser.add_argument("--precision", default="fp16", metavar="NAME", help="fp16, int8 or fp32 (fp16)")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="write it there instead of into the cache"
    )
    parser.add_argument(
        "--overwrite", "--force", dest="force", action="store_true", help="build even if there is one"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors")


def run(options: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    from malle_rt.engine_job import EngineJob
    from malle_rt.models import photo_model_names

    show = _Screen(quiet=options.quiet)
    with EngineJob(
        options.backend,
        model=options.model,
        profile=options.profile or ("photo" if options.model in photo_model_names() else "720p"),
        precision=options.precision,
    ) as job:
        show.line(f"backend: {job.about}")
        try:
            if options.output is not None:
                report = job.to_file(options.output, overwrite=options.force, progress=show.progress)
            else:
                report = job.into_cache(
                    force=options.force,
                    building=lambda reason: show.line(f"building: {reason}"),
                    progress=show.progress,
                )
        finally:
            show.close()
    show.line(report.summary())
    return 0


class _Screen:
    """Lines on standard output; progress on one line of a terminal."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._live = sys.stderr.isatty() and not quiet
        self._drawn = False

    def line(self, text: str) -> None:
        if not self._quiet:
            print(in_flags(text), flush=True)

    def progress(self, now: BuildProgress) -> None:
        if self._live:
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write("\r" + f"[{now.share:4.0%}] {now.phase}"[:width].ljust(width))
            sys.stderr.flush()
            self._drawn = True

    def close(self) -> None:
        """Leave the terminal's line."""
        if self._drawn:
            sys.stderr.write("\n")
            self._drawn = False
