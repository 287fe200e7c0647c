"""``malle-rt photo``: noisy photographs in, clean ones out."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from malle_rt.cli.options import strength
from malle_rt.cli.signals import stopped_by_signals
from malle_rt.cli.telling import in_flags, tell
from malle_rt.config import check_tuning
from malle_rt.errors import ConfigError, MediaError

if TYPE_CHECKING:
    from malle_rt.photo.denoiser import PhotoDenoiser
    from malle_rt.photo.job import PhotoReport

__all__ = ["add_parser", "run"]

_EPILOG = """\
examples:
  malle-rt photo noisy.jpg                              writes noisy.clean.jpg
  malle-rt photo *.png --output-dir clean --strength strong
  malle-rt photo holidays --recursive --output-dir clean --format jpg
  malle-rt photo scan.tif --strength 12 --mix 0.8 --compare

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
    parser.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    parser.add_argument(
        "--compare",
        action="store_true",
        help="also write each picture and details of it before and after: OUT.compare.png",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="only say what went wrong")


def run(options: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    from malle_rt.photo.denoiser import PhotoDenoiser
    from malle_rt.photo.job import planned

    level = strength(options.strength)
    check_tuning(level, options.mix)
    if options.quality is not None and not 1 <= options.quality <= 100:
        raise ConfigError(f"quality must be 1 to 100, got {options.quality}")
    pairs = planned(
        options.input,
        output=options.output,
        output_dir=options.output_dir,
        suffix=f".{options.format.lstrip('.')}" if options.format is not None else None,
        recursive=options.recursive,
    )
    denoiser = PhotoDenoiser(options.model)
    if not options.quiet:
        print("; ".join((f"backend: {denoiser.info}", *denoiser.info.notes)), file=sys.stderr)
    code = done = 0
    with stopped_by_signals(_interrupt) as received:
        try:
            for source, target in pairs:
                failure = _clean(denoiser, source, target, options)
                code, done = max(code, failure), done + (failure == 0)
        except KeyboardInterrupt:
            print(f"malle-rt: interrupted, {done} of {len(pairs)} pictures are done", file=sys.stderr)
            return 128 + received[0] if received else 130
        finally:
            denoiser.close()
    if len(pairs) > 1 and not options.quiet:
        print(f"{done} of {len(pairs)} pictures are done")
    return code


def _interrupt() -> None:
    raise KeyboardInterrupt


def _clean(denoiser: PhotoDenoiser, source: Path, target: Path, options: argparse.Namespace) -> int:
    """One picture; what goes wrong with it is said and does not stop the others. Returns the exit code."""
    from malle_rt.photo.job import clean_file

    live = sys.stderr.isatty() and not options.quiet

    def show(share: float) -> None:
        print(f"\r{source.name} {share:4.0%} ", end="", file=sys.stderr, flush=True)

    try:
        if options.output_dir is not None:
            target.parent.mkdir(parents=True, exist_ok=True)
        report: PhotoReport = clean_file(
            denoiser,
            source,
            target,
            strength=strength(options.strength),
            mix=options.mix,
            quality=options.quality,
            overwrite=options.overwrite,
            compare=target.with_name(f"{target.name}.compare.png") if options.compare else None,
            on_progress=show if live else None,
        )
    except (MediaError, ConfigError, OSError, MemoryError) as error:
        if live:
            print(file=sys.stderr)
        return tell(error, verbose=options.verbose)
    if live:
        print("\r", end="", file=sys.stderr)
    if not options.quiet:
        print(in_flags(report.summary()), flush=True)
    return 0
