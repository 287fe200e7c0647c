"""``malle-rt transcode``: a noisy video file in, a clean one out."""

from __future__ import annotations

import argparse
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from malle_rt.cli.json_lines import OUTCOMES, JsonLines
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
from malle_rt.cli.parsing import CommandParser
from malle_rt.cli.progress import ProgressBar
from malle_rt.cli.signals import watched_signals
from malle_rt.cli.telling import exit_code
from malle_rt.config import HWACCELS, PICTURES
from malle_rt.errors import ConfigError
from malle_rt.shown import shown_address, without_secrets

if TYPE_CHECKING:
    from malle_rt.api import Transcode, TranscodeOptions, TranscodeReport
    from malle_rt.cli.signals import Ending
    from malle_rt.cluster import Cluster
    from malle_rt.config import Strength
    from malle_rt.media.encode_config import EncodeConfig
    from malle_rt.pipeline import Progress
    from malle_rt.segments.job import SegmentedTranscode

__all__ = ["add_parser", "add_transcoding", "cluster_of", "in_segments", "run", "transcode_options"]

_EPILOG = """\
examples:
  malle-rt transcode noisy.mp4                          writes noisy.clean.mp4
  malle-rt transcode noisy.mkv clean.mkv --strength 12 --crf 16 --preset medium
  ffmpeg ... -f matroska - | malle-rt transcode - clean.mkv
  malle-rt transcode noisy.mp4 - | x265 --y4m -o clean.hevc -    raw frames to another program; --format: with sound
  malle-rt transcode tapes/ '*.mkv' -o clean            many: clean/NAME.clean.EXT; the same again does what is missing
  malle-rt transcode long.mp4 part.mp4 --start 1:30 --duration 20 --compare
  malle-rt transcode in/frame_%04d.png out/frame_%04d.png    pictures by their numbers
  malle-rt transcode 'in/*.tif' film.mov --fps 24 --codec prores_ks     also a folder of nothing but pictures
  malle-rt transcode noisy.mp4 --preview 4,8,12,20,auto  writes crops at these strengths to noisy.preview.png

exit codes: 0 done; 3 done, but the input is damaged or not whole; 2 options that cannot work; 1 any other failure;
130, 143, 129 stopped by Ctrl-C, SIGTERM, SIGHUP (what was done is in OUT.partial.EXT); 141 the reader of - has gone.
"""

_SIGPIPE = 13  # its number everywhere; Windows has no name for it

# What a preview has no use for.
_OF_VIDEOS = (
    *("strength", "hwaccel", "codec", "crf", "preset", "pix_fmt", "encoder_option", "duration", "fps"),
    *("resume", "jobs", "cluster", "cluster_storage", "format", "strict", "keep_partial", "keep_times"),
    *("compare", "progress"),
)


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "transcode",
        help="denoise a video file",
        description="Denoise a video file, or numbered pictures as one. Sound, subtitles, chapters and metadata are "
        "copied; what OUT's container cannot hold is converted and said.",
        usage="%(prog)s [options] IN [OUT]\n       %(prog)s [options] IN... --output-dir DIR",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run, defaults=parser.get_default)
    if isinstance(parser, CommandParser):
        parser.has_room = lambda found: found.output_dir is not None or len(found.files) <= 2
    parser.add_argument(
        "files",
        nargs="*",
        metavar="IN [OUT]",
        help="path or URL of the noisy video, - reads standard input; and the result, - writes standard output "
        "(default: IN.clean with IN's extension). With --output-dir every one is an input: files, folders, "
        "'patterns*.mkv', @LIST",
    )
    many = parser.add_argument_group("many videos")
    many.add_argument(
        "-o",
        "--output-dir",
        metavar="DIR",
        help="clean all inputs into this folder, as NAME.clean.EXT; those that are there already are left",
    )
    many.add_argument("--recursive", action="store_true", help="also the folders in folders, in DIR likewise")
    many.add_argument(
        "--list",
        action="append",
        default=[],
        metavar="FILE",
        help="inputs, one a line; - reads them from standard input; may be repeated",
    )
    many.add_argument(
        "--skip-existing",
        action=argparse.BooleanOptionalAction,
        help="leave outputs that are whole, from the same source and the same options (default: yes)",
    )
    add_transcoding(parser)
    parser.add_argument(
        "--format",
        metavar="NAME",
        help="container whatever OUT is called: yuv4mpegpipe (when OUT is - and nothing else is said), nut, matroska "
        "or mpegts",
    )
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
        "--keep-partial",
        action="store_true",
        help="stopped early, still name the result OUT and not OUT.partial.EXT",
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


def add_transcoding(parser: argparse.ArgumentParser) -> None:
    """How files are made, and what is told meanwhile."""
    add_denoising(parser).add_argument(
        "--hwaccel",
        default="auto",
        metavar="NAME",
        help=f"decode on the GPU and stay there: {either(HWACCELS)} (auto)",
    )
    add_deinterlacing(parser)
    add_encoding(parser)
    add_segments(parser)
    parser.add_argument(
        "--strict",
        action="store_true",
        help="refuse an input that is damaged or not whole (else transcode ends with exit code 3)",
    )
    parser.add_argument(
        "--keep-times", action="store_true", help="give OUT the times of last access and change of IN"
    )
    parser.add_argument(
        "--progress",
        choices=("bar", "json"),
        default="bar",
        help="json: an object a line on standard output, for programs; what people read goes to standard error",
    )


def add_segments(parser: argparse.ArgumentParser) -> None:
    """How long videos are made."""
    long = parser.add_argument_group("long videos")
    long.add_argument(
        "--resume",
        action="store_true",
        help="work in segments, kept in OUT.segments: after an interruption of any kind the same command goes on",
    )
    long.add_argument(
        "--jobs",
        type=_jobs,
        metavar="N|auto",
        help="segments at once, each with its share of the processor; resumes, too (auto)",
    )
    long.add_argument(
        "--cluster",
        metavar="ADDRESS|local",
        help="make the segments on the machines of a Ray cluster; resumes, too. docs/cluster.md",
    )
    long.add_argument(
        "--cluster-storage",
        metavar="URL",
        help="s3://BUCKET/FOLDER or what else fsspec knows, where its machines share no folder",
    )


def run(options: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    if options.output_dir is not None:
        from malle_rt.cli.batch import run_batch

        return run_batch(options)
    options.input, options.output = _one_pair(options)
    if options.preview:
        return _preview(options)
    piped = _is_piped(options)
    if piped and options.progress == "json":
        raise ConfigError(
            "--progress json needs standard output, where the video goes: name a file, or leave it out"
        )
    lines = JsonLines(sys.stdout, 1) if options.progress == "json" else None
    told = sys.stderr if lines is not None or piped else sys.stdout
    with watched_signals() as ending:  # before anything slow
        try:
            with _open(options, ending) as job:
                ending.job = job
                report = _run(job, options, lines)
        except Exception as exc:
            if _reader_has_gone(exc):
                return 128 + _SIGPIPE
            if lines is not None:
                _end_lines(lines, options, "failed", without_secrets(str(exc)), None, exit_code(exc))
            raise
        received = ending.received
        code = 128 + received[0] if received else 3 if report.losses else 0
        if lines is not None:
            outcome = "stopped" if received else "losses" if report.losses else "done"
            _end_lines(lines, options, outcome, "; ".join(report.losses), report, code)
        if not options.quiet:
            print(report.summary(), file=told, flush=True)
        if received and any(thread.name == "malle-source" for thread in threading.enumerate()):
            os._exit(code)  # although the input still keeps a thread waiting
    if report.losses and options.quiet and not received:
        print(f"malle-rt: done, with losses: {'; '.join(report.losses)}", file=sys.stderr)
    return code


def _is_piped(options: argparse.Namespace) -> bool:
    """Whether the video goes to standard output."""
    from malle_rt.media.standard_output import is_standard_output

    return options.output is not None and is_standard_output(options.output)


def _reader_has_gone(error: BaseException | None) -> bool:
    """Whether who reads the output has seen enough, as ``head`` does: no more fault than in any other Unix program."""
    while error is not None:
        if isinstance(error, BrokenPipeError):
            return True
        error = error.__cause__
    return False


def _end_lines(
    lines: JsonLines,
    options: argparse.Namespace,
    outcome: str,
    reason: str,
    report: TranscodeReport | None,
    code: int,
) -> None:
    lines.file_end(1, shown_address(options.input), options.output or "", outcome, reason, report)
    lines.end({each: int(each == outcome) for each in OUTCOMES}, code)


def _one_pair(options: argparse.Namespace) -> tuple[str, str | None]:
    """The input and the output, "None" where it is not named, of a command for one video."""
    files = options.files
    if not files and not options.list:
        raise ConfigError("the following arguments are required: IN. malle-rt transcode --help shows how")
    from malle_rt.inputs import means_many

    many = [word for word in files[:1] if means_many(word)]
    if many or options.list or len(files) > 2:
        what = f"{many[0]} is" if many else "these are"
        raise ConfigError(f"{what} more than one input: say where the results belong, with --output-dir DIR")
    for name in ("recursive", "skip_existing"):
        if getattr(options, name) != options.defaults(name):
            raise ConfigError(f"--{name.replace('_', '-')} is for many inputs: add --output-dir DIR")
    return files[0], files[1] if len(files) == 2 else None


def in_segments(options: argparse.Namespace) -> bool:
    """Whether videos are made in segments."""
    return options.resume or options.jobs is not None or options.gpu == "all" or options.cluster is not None


def cluster_of(options: argparse.Namespace) -> Cluster | None:
    """The machines that make segments; None: this one.

    Raises:
        ConfigError: options that do not fit together.
    """
    if options.cluster is None:
        if options.cluster_storage is not None:
            raise ConfigError("--cluster-storage is for --cluster ADDRESS: name one, or leave it out")
        return None
    if not options.cluster:
        raise ConfigError("--cluster must be an address such as 10.0.0.1:6379, auto or local, got ''")
    from malle_rt.cluster import Cluster

    return Cluster(options.cluster, options.cluster_storage)


def _jobs(text: str) -> int:
    """0 stands for auto."""
    if text != "auto" and not (text.isascii() and text.isdigit() and 1 <= int(text) <= 999):
        raise argparse.ArgumentTypeError(f"expected auto or a number from 1 to 999, got {text!r}")
    return 0 if text == "auto" else int(text)


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


def _run(
    job: Transcode | SegmentedTranscode, options: argparse.Namespace, lines: JsonLines | None
) -> TranscodeReport:
    if lines is not None:
        lines.file_start(1, shown_address(options.input), _output(options), job.frames, job.backend)

        def tell(progress: Progress) -> None:
            done, fps, frames = progress.frames_out, progress.fps, job.frames
            left = max(0, frames - done) / fps if frames and fps else None
            share = min(1.0, done / frames) if frames else None
            lines.progress(1, frames, progress, share=share, seconds_left=left, written=job.written)

        return job.run(tell)
    if options.quiet:
        return job.run()
    print(f"backend: {job.backend}", file=sys.stderr)
    bar = ProgressBar(
        sys.stderr,
        job.backend.split(" (")[0],
        job.frames,
        name=Path(shown_address(options.input)).name,
        written=lambda: job.written,
    )
    try:
        return job.run(bar.update)
    finally:
        bar.close()


def _open(options: argparse.Namespace, ending: Ending) -> Transcode | SegmentedTranscode:
    from malle_rt.api import Transcode
    from malle_rt.media.output_file import discard_claimed

    ending.discard = discard_claimed
    output = _output(options)
    compare = None
    if options.compare == "" and _is_piped(options):
        raise ConfigError("--compare has no name beside standard output: write --compare PICTURE.png")
    if options.compare is not None:
        compare = Path(options.compare) if options.compare else output.with_suffix(".compare.png")
    wanted = transcode_options(options, _encode(options, output), compare)
    cluster = cluster_of(options)
    if in_segments(options):
        from malle_rt.segments.job import SegmentedTranscode

        return SegmentedTranscode(options.input, output, wanted, jobs=options.jobs or None, cluster=cluster)
    return Transcode(options.input, output, wanted)


def transcode_options(
    options: argparse.Namespace, encode: EncodeConfig | None, compare: Path | None = None
) -> TranscodeOptions:
    """How files are made, as the command line has it."""
    from malle_rt.api import TranscodeOptions

    return TranscodeOptions(
        config=denoise_config(options),
        encode=encode,
        start=options.start,
        duration=options.duration,
        overwrite=options.overwrite,
        keep_partial=options.keep_partial,
        strict=options.strict,
        compare=compare,
        hwaccel=options.hwaccel,
        keep_times=options.keep_times,
        container_format=options.format,
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
    return (
        None
        if are_pictures(output) and not asked
        else encode_config(options, default_codec(output, options.format))
    )


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
    from malle_rt.media.own_outputs import clean_name
    from malle_rt.media.sequences import is_sequence

    plain = plain_location(source)
    if is_sequence(plain):
        raise ConfigError("an output must be named for pictures: out/frame_%04d.png, or a video")
    if not is_path(plain):
        raise ConfigError("an output file must be named when the input is a URL or standard input")
    path = Path(plain)
    if not path.name:
        raise ConfigError(f"the input must be a video file, got {source!r}")
    return path.with_name(f"{path.stem}.{picture}" if picture else clean_name(path))


def _strengths(text: str) -> list[Strength]:
    """Of "4,8,auto"."""
    try:
        return [strength(each.strip()) for each in text.split(",")]
    except ConfigError as exc:
        raise argparse.ArgumentTypeError(
            f"expected strengths such as 4,8,12,auto, got {text!r}: {exc}"
        ) from None
