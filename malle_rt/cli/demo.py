"""``malle-rt demo``: the noisy sample clip, cleaned before your eyes or in a picture."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from malle_rt.cli import webcam
from malle_rt.cli.options import add_denoising, denoise_config
from malle_rt.cli.parsing import CommandParser
from malle_rt.cli.progress import ProgressBar
from malle_rt.errors import ConfigError

__all__ = ["add_parser", "run", "sample_clip"]

_PICTURE = "malle-rt-demo.png"


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "demo",
        help="clean the sample clip: a window, or a picture",
        description="Show a noisy clip beside what malle-rt makes of it, live in a window; where there is no "
        f"display, or a name is given, as a picture of some frames before and after ({_PICTURE}).",
    )
    parser.set_defaults(run=run)
    parser.add_argument("picture", nargs="?", metavar="PICTURE", help="write it there: .png, .jpg or .webp")
    parser.add_argument("--overwrite", action="store_true", help="replace PICTURE if it exists")
    add_denoising(parser)


def sample_clip() -> Path:
    """The clip: inside the installed package, or in the documentation of a source checkout.

    Raises:
        ConfigError: it is not there.
    """
    package = Path(__file__).resolve().parents[1]
    for place in (package / "sample" / "noisy.mp4", package.parent / "docs" / "noisy.mp4"):
        if place.is_file():
            return place
    raise ConfigError("the sample clip is not here: reinstall malle-rt, or take a video of your own")


def run(options: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    clip = sample_clip()
    if options.picture is None and _has_display():
        return _show(clip, options)
    return _write(clip, Path(options.picture or _PICTURE), options)


def _has_display() -> bool:
    return sys.platform in ("win32", "darwin") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )


def _show(clip: Path, options: argparse.Namespace) -> int:
    """As ``malle-rt webcam --device CLIP --loop``."""
    parser = argparse.ArgumentParser()
    webcam.add_parser(parser.add_subparsers(parser_class=CommandParser))
    live = parser.parse_args(["webcam", "--device", str(clip), "--loop"])
    for name, value in vars(options).items():
        if name in vars(live) and name not in ("run", "overwrite"):
            setattr(live, name, value)
    live.verbose = options.verbose
    print("h in the window shows the keys, q ends it", file=sys.stderr)
    return int(webcam.run(live))


def _write(clip: Path, picture: Path, options: argparse.Namespace) -> int:
    from malle_rt.api import Transcode, TranscodeOptions

    with (
        tempfile.TemporaryDirectory(prefix="malle-rt-") as folder,
        Transcode(
            clip,
            Path(folder) / "clean.mp4",
            TranscodeOptions(config=denoise_config(options), compare=picture, overwrite=options.overwrite),
        ) as job,
    ):
        print(f"backend: {job.backend}", file=sys.stderr)
        bar = ProgressBar(sys.stderr, job.backend.split(" (")[0], job.frames, name=clip.name)
        try:
            report = job.run(bar.update)
        finally:
            bar.close()
    print(f"wrote {picture}: noisy on the left, clean on the right ({report.pipeline.fps:.1f} fps here)")
    print(f"the same for a video of yours: malle-rt YOUR.mp4 --compare (this one is {clip})")
    return 0
