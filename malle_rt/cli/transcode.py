"""``malle-rt transcode``: a noisy video file in, a clean one out."""

from __future__ import annotations

import argparse
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from malle_rt.cli.options import (
    add_deinterlacing,
    add_denoising,
    add_encoding,
    denoise_config,
    either,
    encode_config,
    rate,
    seconds,
    strength,
)
from malle_rt.cli.progress import ProgressBar
from malle_rt.cli.signals import watched_signals
from malle_rt.config import HWACCELS, PICTURES
from malle_rt.errors import ConfigError

if TYPE_CHECKING:
    from malle_rt.api import Transcode, TranscodeReport
    from malle_rt.cli.signals import Ending
    from malle_rt.config import Strength
    from malle_rt.media.encode_config import EncodeConfig

__all__ = ["add_parser", "run"]

_EPILOG = """\
examples:
  malle-rt transcode noisy.mp4                          writes noisy.clean.mp4
  malle-rt transcode noisy.mkv clean.mkv --strength 12 --crf 16 --preset medium
  ffmpeg ... -f matroska - | malle-rt transcode - clean.mkv
  malle-rt transcode long.mp4 part.mp4 --start 1:30 --duration 20 --compare
  malle-rt transcode in/frame_%04d.png out/frame_%04d.png    pictures by their numbers
  malle-rt transcode 'in/*.tif' film.mov --fps 24 --codec prores_ks
  malle-rt transcode noisy.mp4 --preview 4,8,12,20,auto  writes crops at these strengths to noisy.preview.png

exit codes: 0 done; 3 done, but the input is damaged or not whole; 2 options that cannot work; 1 any other failure;
130, 143, 129 stopped by Ctrl-C, SIGTERM, SIGHUP (what was done is in OUT.partial.EXT).
"""

# What a preview has no use for.
_OF_VIDEOS = (
    *("strength", "hwaccel", "codec", "crf", "preset", "pix_fmt", "encoder_option", "duration", "fps"),
    *("strict", "keep_partial", "keep_times", "compare"),
)


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "transcode",
        help="denoise a video file",
        description="Denoise a video file, or numbered pictures as one. Sound, subtitles, chapters and metadata are "
        "copied; what OUT's container cannot hold is converted and said.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run, defaults=parser.get_default)
    parser.add_argument("input", metavar="IN", help="path or URL of the noisy video; - reads standard input")
    parser.add_argument("output", metavar="OUT", nargs="?", help="default: IN.clean with IN's extension")
    add_denoising(parser).add_argument(
        "--hwaccel",
        default="auto",
        metavar="NAME",
        help=f"decode on the GPU and stay there: {either(HWACCELS)} (auto)",
    )
    add_deinterlacing(parser)
    add_encoding(parser)
    part = parser.add_argument_group("part of the input")
    part.add_argument("--start", type=seconds, metavar="TIME", help="seconds or [HH:]MM:SS[.fraction]")
    part.add_argument("--duration", type=seconds, metavar="TIME", help="length from there")
    parser.add_argument(
        "--fps",
        type=rate,
        metavar="RATE",
        help="pictures a second of a sequence: 24, 23.976, 30000/1001 (25)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")
    parser.add_argument(
        "--strict",
        action="store_true",
        help="refuse an input that is damaged or not whole (else: exit code 3)",
    )
    parser.add_argument(
        "--keep-partial",
        action="store_true",
        help="stopped early, still name the result OUT and not OUT.partial.EXT",
    )
    parser.add_argument(
        "--keep-times", action="store_true", help="give OUT the times of last access and change of IN"
    )
    parser.add_argument(
        "--compare",
        nargs="?",
        const="",
        type=_picture,
        metavar="PICTURE",
        help="also write frames before and after, side by side (default: OUT.compare.png)",
    )
    parser.add_argument(
        "--preview",
        type=_strengths,
        metavar="STRENGTHS",
        help="write no video, but a picture with crops of one frame at each of these strengths, such as 4,8,12,auto; "
        "--start chooses the place, OUT the name (default: IN.preview.png)",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar, no summary")


def run(options: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    if options.preview:
        return _preview(options)
    with watched_signals() as ending:  # before anything slow
        with _open(options, ending) as job:
            ending.job = job
            report = _run(job, quiet=options.quiet)
        received = ending.received
        if received and any(thread.name == "malle-source" for thread in threading.enumerate()):
            _leave(report, 128 + received[0], quiet=options.quiet)
    if not options.quiet:
        print(report.summary())
    if received:
        return 128 + received[0]
    if report.losses and options.quiet:
        print(f"malle-rt: done, with losses: {'; '.join(report.losses)}", file=sys.stderr)
    return 3 if report.losses else 0


def _preview(options: argparse.Namespace) -> int:
    with watched_signals() as ending:
        from malle_rt.media.output_file import discard_claimed
        from malle_rt.preview import preview_strengths

        ending.discard = discard_claimed
        unused = [name for name in _OF_VIDEOS if getattr(options, name) != options.defaults(name)]
        if unused:
            names = ", ".join(f"--{name.replace('_', '-')}" for name in unused)
            raise ConfigError(f"--preview writes no video and has strengths of its own: leave out {names}")
        shown = preview_strengths(
            options.input,
            _output(options, "preview.png"),
            options.preview,
            config=denoise_config(options),
            start=options.start,
            overwrite=options.overwrite,
            deinterlace=options.deinterlace,
            on_progress=_count if sys.stderr.isatty() and not options.quiet else None,
        )
    if not options.quiet:
        print(f"backend: {shown.backend}", file=sys.stderr)
        print(shown.summary())
    return 0


def _count(done: int, of_all: int) -> None:
    print(f"\r{done}/{of_all} frames", end="\n" if done == of_all else "", file=sys.stderr, flush=True)


def _leave(report: TranscodeReport, code: int, *, quiet: bool) -> NoReturn:
    """End although the input still keeps a thread waiting."""
    if not quiet:
        print(report.summary(), flush=True)
    os._exit(code)


def _run(job: Transcode, *, quiet: bool) -> TranscodeReport:
    if quiet:
        return job.run()
    print(f"backend: {job.backend}", file=sys.stderr)
    bar = ProgressBar(sys.stderr, job.backend.split(" (")[0], job.frames)
    try:
        return job.run(bar.update)
    finally:
        bar.close()


def _open(options: argparse.Namespace, ending: Ending) -> Transcode:
    from malle_rt.api import Transcode
    from malle_rt.media.output_file import discard_claimed

    ending.discard = discard_claimed
    output = _output(options)
    compare = None
    if options.compare is not None:
        compare = Path(options.compare) if options.compare else output.with_suffix(".compare.png")
    return Transcode(
        options.input,
        output,
        config=denoise_config(options),
        encode=_encode(options, output),
        start=options.start,
        duration=options.duration,
        overwrite=options.overwrite,
        keep_partial=options.keep_partial,
        strict=options.strict,
        compare=compare,
        hwaccel=options.hwaccel,
        keep_times=options.keep_times,
        deinterlace=options.deinterlace,
        frame_rate=options.fps,
    )


def _encode(options: argparse.Namespace, output: Path) -> EncodeConfig | None:
    """The video encoder's settings; of pictures None, where none were asked for."""
    from malle_rt.media.encode_config import default_codec
    from malle_rt.media.sequence_sink import are_pictures

    asked = any(
        (options.codec, options.crf is not None, options.preset, options.pix_fmt, options.encoder_option)
    )
    return None if are_pictures(output) and not asked else encode_config(options, default_codec(output))


def _picture(text: str) -> str:
    if text and Path(text).suffix.lower() not in PICTURES:
        raise argparse.ArgumentTypeError(f"expected a picture to write ({', '.join(PICTURES)}), got {text!r}")
    return text


def _output(options: argparse.Namespace, picture: str = "") -> Path:
    """The file to write: OUT, or beside the input.

    Args:
        options: the parsed options.
        picture: for a picture, what follows the input's stem; "" for a video.
    """
    if options.output == "":
        raise ConfigError("the output must be a file name, got an empty one")
    output = Path(options.output) if options.output else _default_output(options.input, picture)
    if not output.name:
        raise ConfigError(f"the output must be a file name, got {options.output!r}")
    return output


def _default_output(source: str, picture: str) -> Path:
    """Beside the input; a video in the same container where it can be written."""
    from malle_rt.media.opening import is_path, plain_location
    from malle_rt.media.sequences import is_sequence

    plain = plain_location(source)
    if is_sequence(plain):
        raise ConfigError("an output must be named for pictures: out/frame_%04d.png, or a video")
    if not is_path(plain):
        raise ConfigError("an output file must be named when the input is a URL or standard input")
    path = Path(plain)
    if not path.name:
        raise ConfigError(f"the input must be a video file, got {source!r}")
    if picture:
        return path.with_name(f"{path.stem}.{picture}")
    writable = {".mp4", ".mkv", ".mov", ".m4v", ".webm", ".avi", ".ts", ".nut"}
    suffix = path.suffix if path.suffix.lower() in writable else ".mkv"
    return path.with_name(f"{path.stem}.clean{suffix}")


def _strengths(text: str) -> list[Strength]:
    """Of "4,8,auto"."""
    try:
        return [strength(each.strip()) for each in text.split(",")]
    except ConfigError as exc:
        raise argparse.ArgumentTypeError(
            f"expected strengths such as 4,8,12,auto, got {text!r}: {exc}"
        ) from None
