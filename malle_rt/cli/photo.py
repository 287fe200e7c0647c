"""``malle-rt photo``: noisy photographs in, clean ones out."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from malle_rt.cli.options import strength
from malle_rt.cli.signals import watched_signals
from malle_rt.cli.telling import in_flags, report_error
from malle_rt.config import DenoiseConfig
from malle_rt.errors import ConfigError

if TYPE_CHECKING:
    from malle_rt.cli.signals import Ending
    from malle_rt.photo.denoiser import PhotoDenoiser
    from malle_rt.photo.job import PhotoReport

__all__ = ["add_parser", "run"]

_MOST = 64  # pictures at once

_EPILOG = """\
examples:
  malle-rt photo noisy.jpg                              writes noisy.clean.jpg
  malle-rt photo *.png --output-dir clean --strength strong
  malle-rt photo holidays --recursive --output-dir clean --format jpg
  malle-rt photo scan.tif --strength 12 --mix 0.8 --compare
  malle-rt photo shoot --output-dir clean --jobs 4      many small ones are done sooner

exit codes: 0 done; 2 options that cannot work; 1 a picture could not be cleaned (the others were);
130, 143, 129 stopped by Ctrl-C, SIGTERM, SIGHUP (the pictures done by then stay).
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "photo",
        help="denoise photographs",
        description="Denoise photographs: JPEG, PNG, TIFF, WebP, AVIF, and HEIC with the extra 'photo'; 8 bits, and 16 "
        "in PNG and TIFF. Exif, colour profile, XMP, orientation, resolution and alpha are kept.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument("input", metavar="IN", nargs="+", help="pictures, and folders of pictures")
    parser.add_argument("--output", metavar="FILE", help="of a single picture (default: NAME.clean.EXT)")
    parser.add_argument("--output-dir", metavar="DIR", help="write there, under the names of the sources")
    parser.add_argument("--recursive", action="store_true", help="look into the folders of folders, too")
    parser.add_argument("--format", metavar="EXT", help="jpg, png, tif, webp, avif, heic (the source's)")
    parser.add_argument(
        "--quality", type=int, metavar="1..100", help="of JPEG, WebP, AVIF (as the source; at least 92)"
    )
    group = parser.add_argument_group("denoising")
    group.add_argument(
        "--model", default="mallenet-m", metavar="NAME", help="mallenet-s or mallenet-m (default)"
    )
    group.add_argument(
        "--strength",
        default="auto",
        metavar="auto|0..75",
        help="standard deviation of the noise to take away on the 8-bit scale; 0 changes nothing; light, medium or "
        "strong: a share of what auto finds (default: auto)",
    )
    group.add_argument(
        "--mix", type=float, default=1.0, metavar="0..1", help="share of the clean picture (1)"
    )
    group.add_argument(
        "--backend",
        default="auto",
        metavar="NAME",
        help="openvino (auto), torch, cuda, tensorrt or tensorrt-rtx",
    )
    group.add_argument(
        "--precision", default="auto", metavar="NAME", help="fp32 in openvino and torch, else fp16 (auto)"
    )
    parser.add_argument(
        "--jobs",
        type=_jobs,
        default=1,
        metavar="N",
        help="pictures at once, each with its share of the processor and about 0.7 GiB of memory (1)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    parser.add_argument(
        "--compare",
        action="store_true",
        help="also write each picture and details of it before and after: OUT.compare.png",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="only say what went wrong")


def run(options: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    with watched_signals() as ending:  # before anything slow
        return _run(options, ending)


def _run(options: argparse.Namespace, ending: Ending) -> int:
    from malle_rt.media.output_file import discard_claimed
    from malle_rt.photo.batch import PhotoBatch, open_denoisers
    from malle_rt.photo.job import clean_file, planned

    ending.discard = discard_claimed
    level = strength(options.strength)
    config = DenoiseConfig(
        model=options.model,
        strength=level,
        mix=options.mix,
        backend=options.backend,
        precision=options.precision,
    )
    if options.quality is not None and not 1 <= options.quality <= 100:
        raise ConfigError(f"quality must be 1 to 100, got {options.quality}")
    pairs = planned(
        options.input,
        output=options.output,
        output_dir=options.output_dir,
        suffix=f".{options.format.lstrip('.')}" if options.format is not None else None,
        recursive=options.recursive,
    )
    jobs = min(options.jobs, len(pairs))
    denoisers = open_denoisers(config, jobs)
    if not options.quiet:
        at_once = (f"{jobs} pictures at once",) if jobs > 1 else ()
        print(
            "; ".join((f"backend: {denoisers[0].info}", *denoisers[0].info.notes, *at_once)), file=sys.stderr
        )

    def clean(
        denoiser: PhotoDenoiser, source: Path, target: Path, went_on: Callable[[float], None]
    ) -> PhotoReport:
        if options.output_dir is not None:
            target.parent.mkdir(parents=True, exist_ok=True)
        return clean_file(
            denoiser,
            source,
            target,
            strength=level,
            mix=options.mix,
            quality=options.quality,
            overwrite=options.overwrite,
            compare=target.with_name(f"{target.name}.compare.png") if options.compare else None,
            on_progress=went_on,
        )

    batch, screen = PhotoBatch(pairs, clean, denoisers), _Screen(options, len(pairs))
    ending.kept_nothing = lambda: f"{batch.done} of {len(pairs)} pictures are done"
    ending.job = batch
    try:
        batch.run(screen)
    finally:
        for each in denoisers:
            each.close()
    if ending.received:
        screen.clear()
        print(f"malle-rt: interrupted, {ending.kept_nothing()}", file=sys.stderr)
        return 128 + ending.received[0]
    if len(pairs) > 1 and not options.quiet:
        print(ending.kept_nothing())
    return screen.code


class _Screen:
    """A line for each picture on standard output, what went wrong on standard error; there, progress on a terminal.

    Attributes:
        code: exit code so far.
    """

    def __init__(self, options: argparse.Namespace, pictures: int) -> None:
        self.code = 0
        self._options, self._pictures, self._ended = options, pictures, 0
        self._live = sys.stderr.isatty() and not options.quiet
        self._drawn = 0

    def went_on(self, source: Path, share: float) -> None:
        if self._live:
            number = f"{self._ended + 1}/{self._pictures} " if self._pictures > 1 else ""
            text = f"{number}{source.name} {share:4.0%} "[-shutil.get_terminal_size().columns + 1 :]
            print(f"\r{text.ljust(self._drawn)}", end="", file=sys.stderr, flush=True)
            self._drawn = len(text)

    def ended(self, source: Path, outcome: PhotoReport | Exception) -> None:
        self._ended += 1
        self.clear()
        if isinstance(outcome, Exception):
            self.code = max(self.code, report_error(outcome, verbose=self._options.verbose))
        elif not self._options.quiet:
            print(in_flags(outcome.summary()), flush=True)

    def clear(self) -> None:
        """Leave an empty line of the terminal."""
        if self._drawn:
            print(f"\r{' ' * self._drawn}\r", end="", file=sys.stderr, flush=True)
            self._drawn = 0


def _jobs(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= _MOST:
        raise argparse.ArgumentTypeError(f"expected 1 to {_MOST} pictures at once, got {text[:40]!r}")
    return int(text)
