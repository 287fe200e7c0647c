"""``malle-rt analyze``: what a video has, what would be done with it, and how long that takes."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from typing import TYPE_CHECKING, Any

from malle_rt.cli.options import (
    add_deinterlacing,
    add_denoising,
    add_encoding,
    denoise_config,
    encode_config,
)
from malle_rt.cli.progress import clock, megabytes
from malle_rt.cli.signals import stopped_by_signals

if TYPE_CHECKING:
    from malle_rt.analysis import Analysis

__all__ = ["add_parser", "run"]

_EPILOG = """\
examples:
  malle-rt analyze noisy.mp4
  malle-rt analyze tape.avi --deinterlace --crf 20      what transcode would do with these options
  malle-rt analyze film.mkv --whole --json              every frame, every cut, for programs
"""
# Sigma below which noise is called that.
_WORDS = ((0.5, "almost none"), (4, "weak"), (10, "medium"), (20, "strong"))


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "analyze",
        help="show noise, cuts and fields, and what transcode would do",
        description="Look at a video at several places, and transcode a second of it to know the speed. Nothing is "
        "kept.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument("file", metavar="FILE", help="the video")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--whole", action="store_true", help="look at every frame: all cuts are found")
    add_denoising(parser)
    add_deinterlacing(parser)
    add_encoding(parser)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    from pathlib import Path

    from malle_rt.analysis import analyze_video
    from malle_rt.media.encode_config import default_codec
    from malle_rt.media.own_outputs import clean_name

    live = sys.stderr.isatty()

    def show(frames: int) -> None:
        if live and frames % 4 == 0:
            print(f"\rlooked at {frames} frames ", end="", file=sys.stderr, flush=True)

    with stopped_by_signals(_interrupt) as received:
        try:
            found = analyze_video(
                options.file,
                config=denoise_config(options),
                encode=encode_config(options, default_codec(Path(clean_name(Path(options.file))))),
                deinterlace=options.deinterlace,
                whole=options.whole,
                on_progress=show,
            )
        except KeyboardInterrupt:
            print("malle-rt: interrupted", file=sys.stderr)
            return 128 + received[0] if received else 130
        finally:
            if live:
                print("\r" + " " * 40 + "\r", end="", file=sys.stderr, flush=True)
    print(json.dumps(_to_json(found), indent=1) if options.json else "\n".join(_lines(found, options)))
    return 0


def _interrupt() -> None:
    raise KeyboardInterrupt


def _lines(found: Analysis, options: argparse.Namespace) -> list[str]:
    info, plan = found.info, found.plan
    rate = f"{float(info.frame_rate):.5g} fps" if info.frame_rate else "unknown rate"
    length = clock(float(info.duration)) if info.duration else "unknown length"
    others = ", ".join(found.others)
    rows = [
        ("video", f"{info.width}x{info.height}, {info.codec} {info.pix_fmt}, {rate}, {length}"),
        *([("also", others)] if others else []),
        (
            "looked at",
            f"all {found.frames} frames" if found.whole else f"{found.frames} frames at several places",
        ),
        ("noise", _noise(found)),
        ("cuts", f"{found.cuts or 'none'}{'' if found.whole else ' there; --whole finds all'}"),
        ("fields", _fields(found, options.deinterlace)),
        ("runs", plan.backend),
        ("strength", _strength(found, options.strength)),
        ("result", f"{plan.codec}{f', about {megabytes(plan.output_bytes)}' if plan.output_bytes else ''}"),
        ("time", _time(found)),
    ]
    return [found.source, *(f"  {name:<10} {text}" for name, text in rows), *_advice(found, options)]


def _noise(found: Analysis) -> str:
    sigmas = found.sigmas
    if not sigmas:
        return "cannot be told: black or white all over, or too small"
    level = statistics.median(sigmas)
    word = next((word for below, word in _WORDS if level < below), "very strong")
    spread = f", {sigmas[0]:.1f} to {sigmas[-1]:.1f}" if sigmas[-1] - sigmas[0] >= 0.1 else ""
    return f"{word}: sigma {level:.1f} of 255{spread}"


def _fields(found: Analysis, deinterlace: str | None) -> str:
    if not found.interlaced:
        return "progressive"
    share = "interlaced" if found.interlaced == 1 else f"{found.interlaced:.0%} of the frames interlaced"
    done = (
        f"made progressive, one frame of each {deinterlace}"
        if deinterlace
        else "each field denoised by itself"
    )
    film = "; film with repeated fields (hard telecine)" if found.telecine else ""
    return f"{share}, {found.field_order} field first{film}: {done}"


def _strength(found: Analysis, asked: str) -> str:
    low, high = found.plan.sigma
    return f"{asked}: {low:.1f}{f' to {high:.1f}' if high - low >= 0.1 else ''}"


def _time(found: Analysis) -> str:
    plan, rate = found.plan, found.info.frame_rate
    if not plan.fps:
        return "not known: no frame could be tried"
    speed = f"{plan.fps:.1f} fps" + (f", {plan.fps / float(rate):.2f}x real time" if rate else "")
    return f"about {clock(max(1.0, plan.seconds))} ({speed})" if plan.seconds else speed


def _advice(found: Analysis, options: argparse.Namespace) -> list[str]:
    lines = []
    if found.interlaced and not options.deinterlace:
        lines.append("--deinterlace makes it progressive, for screens and players of today")
    if found.telecine:
        lines.append("FFmpeg's filters fieldmatch,decimate before would give the film's own pictures")
    if options.strength == "auto" and found.plan.sigma[1] < _WORDS[0][0]:
        lines.append("--strength 4 cleans although almost no noise was found; --preview 2,4,8 shows it")
    return [f"  -> {line}" for line in lines]


def _to_json(found: Analysis) -> dict[str, Any]:
    info, plan = found.info, found.plan
    return {
        "schema": 1,
        "input": found.source,
        "video": {
            "width": info.width,
            "height": info.height,
            "codec": info.codec,
            "pix_fmt": info.pix_fmt,
            "frame_rate": float(info.frame_rate) if info.frame_rate else None,
            "duration": float(info.duration) if info.duration else None,
            "frames": info.frames,
        },
        "other_streams": list(found.others),
        "frames_looked_at": found.frames,
        "whole": found.whole,
        "noise": {
            "sigma": round(statistics.median(found.sigmas), 2) if found.sigmas else None,
            "shots": [
                {
                    "seconds": round(shot.seconds, 3),
                    "sigma": None if shot.sigma is None else round(shot.sigma, 2),
                }
                for shot in found.shots
            ],
        },
        "cuts": found.cuts,
        "interlaced": {
            "share": round(found.interlaced, 4),
            "field_order": found.field_order,
            "telecine": found.telecine,
        },
        "plan": {
            "backend": plan.backend,
            "sigma": [round(each, 2) for each in plan.sigma],
            "codec": plan.codec,
            "fps": round(plan.fps, 2),
            "seconds": None if plan.seconds is None else round(plan.seconds, 1),
            "output_bytes": None if plan.output_bytes is None else round(plan.output_bytes),
        },
    }
