"""The honest yardstick: malle-rt beside the denoisers a user would pick otherwise.

    python tools/compare.py --clips CLIP ... [--sigma 10 25] [--crf 28] [--json FILE] [--picture DIR]

Clean clips get seeded noise, added in RGB as a sensor would and converted once to 8-bit 4:2:0; with ``--crf`` x264 has
been at the noisy clip before any tool sees it. Every tool reads the same planes and runs as a process of its own, at
the strength that a small search finds best for it (mean PSNR-Y).
PSNR-Y and SSIM are means over frames, then over clips. "ours" in the tables is malle-rt with its strength tuned
likewise; what it does by itself has a row too. Tools with fewer frames than others are too slow for more; the gain
of ours over them is taken on the frames that both have.

Denoise fps counts the denoiser alone: an ffmpeg filter is timed against the same command with the filter "null",
malle-rt and OpenCV from inside their process after the first frame. End-to-end fps is a whole program run, its start
included: H.264 file in, libx264 -crf 18 -preset veryfast out. All tools take turns in every round; figures are the
median and the range of the rounds. MiB is the most memory a process ever had resident.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import sys
from pathlib import Path

from yardstick.noisy_clip import find_clips
from yardstick.peers import FFMPEG, PEERS, missing_reason
from yardstick.report import overlap_text, quality_table, speed_table
from yardstick.result import Comparison
from yardstick.run import NONE, OURS, Plan, run
from yardstick.search import Setting
from yardstick.tool import Tool


def main() -> None:
    """Compare, print, and write what was asked for."""
    options = _options()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    comparison = run(_plan(options))
    _print(comparison)
    if options.json:
        options.json.write_text(json.dumps(comparison.as_json(), indent=1))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    _add_arguments(parser)
    options = parser.parse_args()
    if unknown := set(options.peers.split(",")) - {*PEERS, ""}:
        parser.error(f"unknown peer {', '.join(sorted(unknown))}; choose from {', '.join(PEERS)}")
    if missing := [str(path) for path in options.clips if not path.exists()]:
        parser.error(f"no such clip: {', '.join(missing)}")
    if shutil.which(FFMPEG[0]) is None:
        parser.error("the ffmpeg program is not installed; most peers are its filters")
    if min(options.frames, options.tune_frames) < 2:
        parser.error("--frames and --tune-frames must be at least 2: the first frame is not timed")
    return options


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--clips", nargs="+", type=Path, required=True, help="clean video files, or folders of pictures")
    add("--size", type=_size, default=(640, 360), help="clips are scaled down to fit this (640x360)")
    add("--frames", type=int, default=48, help="of each clip; slow peers take fewer (48)")
    add("--sigma", nargs="+", type=float, default=[10.0, 25.0], help="of the noise, 8-bit scale (10 25)")
    add("--seed", type=int, default=0, help="of the noise (0)")
    add("--crf", type=float, help="constant rate factor of x264 that the noisy clips go through (none)")
    add("--peers", default=",".join(PEERS), help=f"comma-separated ({','.join(PEERS)})")
    add("--model", default="rt-s", help="our network (rt-s)")
    add("--strength", default="auto", help="of our row that is not tuned (auto)")
    add(
        "--known",
        type=Path,
        metavar="FILE",
        help="--json of a run on the same clips: peers keep its settings",
    )
    add("--tune-frames", type=int, default=6, help="of each clip, for the search (6)")
    add("--rounds", type=int, default=3, help="of the speed measurement; 0 leaves it out (3)")
    add("--seconds", type=float, default=4, help="about how long one speed run lasts (4)")
    add("--longest", type=int, default=240, help="most frames of one speed run (240)")
    add("--json", type=Path, metavar="FILE", help="write everything measured")
    add("--picture", type=Path, metavar="DIR", help="write a PNG per clip and sigma with crops of every tool")


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    return int(width), int(height)


def _plan(options: argparse.Namespace) -> Plan:
    return Plan(
        clips=find_clips(options.clips),
        size=options.size,
        frames=options.frames,
        sigmas=options.sigma,
        seed=options.seed,
        crf=options.crf,
        peers=_peers(options.peers),
        model=options.model,
        strength=options.strength,
        known=_known(options.known),
        tune_frames=options.tune_frames,
        rounds=options.rounds,
        seconds=options.seconds,
        longest=options.longest,
        pictures=options.picture,
    )


def _known(earlier: Path | None) -> dict[tuple[float, str], Setting]:
    """Settings of an earlier run, by sigma and tool."""
    scores = json.loads(earlier.read_text())["scores"] if earlier else {}
    return {
        (float(sigma), row["tool"]): tuple(row["setting"]) for sigma, rows in scores.items() for row in rows
    }


def _peers(names: str) -> list[Tool]:
    """Those that this machine has; the others are named."""
    present = []
    for name in filter(None, names.split(",")):
        if reason := missing_reason(name):
            print(f"without {name}: {reason}")
        else:
            present.append(PEERS[name])
    return present


def _print(comparison: Comparison) -> None:
    before, after = comparison.machine
    print(", ".join(f"{name} {value}" for name, value in before.items()))
    print(f"load average at the end: {after['load average']}")
    print(f"clips (size, frames): {'; '.join(comparison.clips)}")
    for sigma, scores in comparison.scores.items():
        print(f"\nsigma {sigma:g}\n\n{quality_table(scores, OURS)}")
    if comparison.speed:
        print(f"\nspeed, on {comparison.clips[0]}\n\n{speed_table(comparison.speed, OURS)}\n")
        print(overlap_text(comparison, OURS, NONE))
        if comparison.other_cores is not None:
            print(f"meanwhile other programs kept {comparison.other_cores:.2f} cores busy")


if __name__ == "__main__":
    main()
