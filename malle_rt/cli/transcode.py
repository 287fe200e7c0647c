"""``malle-rt transcode``: a noisy video file in, a clean one out."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Literal

from malle_rt.cli.progress import ProgressBar
from malle_rt.config import BACKENDS, CUDA_ADAPTERS, HWACCELS, PRECISIONS
from malle_rt.errors import ConfigError

if TYPE_CHECKING:
    from malle_rt.api import Transcode, TranscodeReport

__all__ = ["add_parser", "run"]

_EPILOG = """\
examples:
  malle-rt transcode noisy.mp4                          writes noisy.clean.mp4
  malle-rt transcode noisy.mkv clean.mkv --strength 12 --crf 16 --preset medium
  ffmpeg ... -f matroska - | malle-rt transcode - clean.mkv
  malle-rt transcode long.mp4 part.mp4 --start 1:30 --duration 20 --compare
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "transcode",
        help="denoise a video file",
        description="Denoise a video file. Sound, subtitles, chapters and metadata are copied untouched.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument("input", metavar="IN", help="path or URL of the noisy video; - reads standard input")
    parser.add_argument("output", metavar="OUT", nargs="?", help="default: IN.clean with IN's extension")
    clean = parser.add_argument_group("denoising")
    clean.add_argument("--model", default="rt-s", metavar="NAME", help="network (default: rt-s)")
    clean.add_argument(
        "--strength",
        default="auto",
        metavar="auto|0..75",
        help="standard deviation of the luma's noise on the 8-bit scale; 0 changes nothing (default: auto)",
    )
    clean.add_argument(
        "--mix", type=float, default=1.0, metavar="0..1", help="share of the clean picture (1)"
    )
    clean.add_argument("--backend", default="auto", metavar="NAME", help=f"{_or(BACKENDS)} (auto)")
    clean.add_argument("--precision", default="auto", metavar="NAME", help=f"{_or(PRECISIONS)} (auto)")
    clean.add_argument(
        "--cuda-adapter", default="auto", metavar="NAME", help=f"drives CUDA: {_or(CUDA_ADAPTERS)} (auto)"
    )
    clean.add_argument(
        "--hwaccel",
        default="auto",
        metavar="NAME",
        help=f"decode on the GPU and stay there: {_or(HWACCELS)} (auto)",
    )
    clean.add_argument("--engine", metavar="FILE", help="a TensorRT engine that malle-rt build wrote")
    clean.add_argument(
        "--trust-engine", action="store_true", help="run FILE's code although it is not from the own cache"
    )
    encode = parser.add_argument_group("encoding, by FFmpeg's names")
    encode.add_argument("--codec", metavar="NAME", help="video encoder (libx264; libvpx-vp9 for .webm)")
    encode.add_argument("--crf", type=int, metavar="N", help="constant quality, less is better (libx264: 18)")
    encode.add_argument("--preset", metavar="NAME", help="encoder speed (libx264: veryfast)")
    encode.add_argument(
        "--pix-fmt", metavar="NAME", help="default: the input's, or the nearest the encoder takes"
    )
    encode.add_argument(
        "--encoder-option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="any other; may be repeated",
    )
    part = parser.add_argument_group("part of the input")
    part.add_argument("--start", type=seconds, metavar="TIME", help="seconds or [HH:]MM:SS[.fraction]")
    part.add_argument("--duration", type=seconds, metavar="TIME", help="length from there")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")
    parser.add_argument(
        "--compare",
        nargs="?",
        const="",
        metavar="PICTURE",
        help="also write frames before and after, side by side (default: OUT.compare.png)",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar, no summary")


def _or(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


def run(options: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    with _open(options) as job, _stopped_by_signals(job) as received:
        try:
            report = _run(job, quiet=options.quiet)
        except KeyboardInterrupt:
            print("malle-rt: interrupted twice, nothing was kept", file=sys.stderr)
            return 128 + received[0]
    if not options.quiet:
        print(report.summary())
    return 128 + received[0] if received else 0


def _run(job: Transcode, *, quiet: bool) -> TranscodeReport:
    if quiet:
        return job.run()
    print(f"backend: {job.backend}", file=sys.stderr)
    bar = ProgressBar(sys.stderr, job.backend.split(" (")[0], job.frames)
    try:
        return job.run(bar.update)
    finally:
        bar.close()


def _open(options: argparse.Namespace) -> Transcode:
    from malle_rt.api import Transcode
    from malle_rt.config import DenoiseConfig
    from malle_rt.media.encode_config import EncodeConfig, default_codec

    output = Path(options.output) if options.output else _default_output(options.input)
    if not output.name:
        raise ConfigError(f"the output must be a file name, got {options.output!r}")
    compare = None
    if options.compare is not None:
        compare = Path(options.compare) if options.compare else output.with_suffix(".compare.png")
    return Transcode(
        options.input,
        output,
        config=DenoiseConfig(
            model=options.model,
            strength=_strength(options.strength),
            mix=options.mix,
            backend=options.backend,
            precision=options.precision,
            cuda_adapter=options.cuda_adapter,
            engine=options.engine,
            trust_engine=options.trust_engine,
        ),
        encode=EncodeConfig(
            codec=options.codec or default_codec(output),
            crf=options.crf,
            preset=options.preset,
            pix_fmt=options.pix_fmt,
            options=dict(map(_key_value, options.encoder_option)),
        ),
        start=options.start,
        duration=options.duration,
        overwrite=options.overwrite,
        compare=compare,
        hwaccel=options.hwaccel,
    )


def _default_output(source: str) -> Path:
    """Beside the input, same container where it can be written."""
    from malle_rt.media.opening import is_path, plain_location

    plain = plain_location(source)
    if not is_path(plain):
        raise ConfigError("an output file must be named when the input is a URL or standard input")
    path = Path(plain)
    if not path.name:
        raise ConfigError(f"the input must be a video file, got {source!r}")
    writable = {".mp4", ".mkv", ".mov", ".m4v", ".webm", ".avi", ".ts", ".nut"}
    suffix = path.suffix if path.suffix.lower() in writable else ".mkv"
    return path.with_name(f"{path.stem}.clean{suffix}")


def _strength(text: str) -> float | Literal["auto"]:
    if text == "auto":
        return "auto"
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"strength must be auto or a number from 0 to 75, got {text!r}") from None


def _key_value(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise ConfigError(f"encoder option must look like KEY=VALUE, got {text!r}")
    return key, value


def seconds(text: str) -> Fraction:
    """Exact seconds of "90", "1:30", "0:01:30.5"."""
    parts = text.split(":")
    try:
        numbers = [Fraction(part) for part in parts]
    except (ValueError, ZeroDivisionError):
        numbers = []
    if not 1 <= len(numbers) <= 3 or any(number < 0 for number in numbers):
        raise argparse.ArgumentTypeError(f"want seconds or [HH:]MM:SS, got {text!r}")
    total = Fraction(0)
    for number in numbers:
        total = total * 60 + number
    return total


@contextmanager
def _stopped_by_signals(job: Transcode) -> Iterator[list[int]]:
    """Ctrl-C and SIGTERM finish a playable file; a second one gives up. Yields the signals received."""
    received: list[int] = []

    def handle(number: int, _: FrameType | None) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
        job.stop()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
