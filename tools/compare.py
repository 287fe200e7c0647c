"""The honest yardstick: malle-rt beside the denoisers a user would pick otherwise.

    python tools/compare.py --clips CLIP ... [--sigma 10 25] [--crf 28] [--json FILE] [--picture DIR]
    python tools/compare.py --clips CLIP ... --camera phone webcam [--vapoursynth PYTHON] [--neighbours 0 1 2]

Clean clips get seeded noise, added in RGB as a sensor would and converted once to 8-bit 4:2:0; with ``--crf`` x264 has
been at the noisy clip before any tool sees it. With ``--camera`` the clips are recorded by the camera model of
``cameras.py`` and its encoders instead, with seeds that no training uses; as every recording has a noise of its own,
tools are tuned for each by itself. Clips of which more than half moves are called moving.
Every tool reads the same planes and runs as a process of its own, at the strength that a small search finds best
for it (mean PSNR-Y; a strength for chroma alone by that of chroma).
PSNR-Y and SSIM are means over frames, then over clips. "ours" in the tables is malle-rt with its strength tuned
likewise; what it does by itself has a row too. Tools with fewer frames than others are too slow for more; the gain
of ours over them is taken on the frames that both have.

Denoise fps counts the denoiser alone: an ffmpeg filter is timed against the same command with the filter "null",
malle-rt and OpenCV from inside their process after the first frame. End-to-end fps is a whole program run, its start
included: H.264 file in, libx264 -crf 18 -preset veryfast out. All tools take turns in every round; figures are the
median and the range of the rounds. MiB is the most memory a process ever had resident.

``--vapoursynth`` adds V-BM3D, NLMeans and MVDegrain3 (``yardstick/peers.py`` says what to install).
``--neighbours`` times single frames beside processes that only spin.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import sys
from pathlib import Path

from cameras import CAMERAS
from yardstick.clips import Camera, NoiseKind, White, find_clips
from yardstick.peers import PEERS, VAPOURSYNTH, missing_reason, vapoursynth_peers, vapoursynth_reason
from yardstick.process import FFMPEG
from yardstick.report import busy_table, clips_table, overlap_text, quality_table, speed_table
from yardstick.result import Comparison
from yardstick.run import NONE, OURS, Plan, run
from yardstick.tool import Setting, Tool


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
    if options.peers is None:
        options.peers = ",".join([*PEERS, *(VAPOURSYNTH if options.vapoursynth else ())])
    asked = set(filter(None, options.peers.split(",")))
    if unknown := asked - {*PEERS, *VAPOURSYNTH}:
        parser.error(
            f"unknown peer {', '.join(sorted(unknown))}; choose from {', '.join([*PEERS, *VAPOURSYNTH])}"
        )
    if (theirs := asked & set(VAPOURSYNTH)) and options.vapoursynth is None:
        parser.error(f"{', '.join(sorted(theirs))}: name an interpreter that has it, --vapoursynth PYTHON")
    if theirs and (reason := vapoursynth_reason(options.vapoursynth)):
        parser.error(f"--vapoursynth {options.vapoursynth}: {reason}")
    if options.camera and (options.sigma or options.crf is not None):
        parser.error("--camera makes its own noise and encodes by itself: leave --sigma and --crf out")
    if any(count < 0 for count in options.neighbours):
        parser.error("--neighbours counts processes: 0 or more")
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
    add(
        "--crop",
        type=_size,
        metavar="WxH",
        help="beside each larger clip, its busiest and its calmest part (none)",
    )
    add("--sigma", nargs="+", type=float, help="of white noise, 8-bit scale (10 25)")
    add(
        "--camera", nargs="+", choices=sorted(CAMERAS), help="record the clips with these, instead of --sigma"
    )
    add("--seed", type=int, default=0, help="of the noise (0)")
    add("--crf", type=float, help="constant rate factor of x264 that the noisy clips go through (none)")
    add(
        "--peers",
        help=f"comma-separated ({','.join(PEERS)}; with --vapoursynth also {','.join(VAPOURSYNTH)})",
    )
    add(
        "--vapoursynth",
        type=Path,
        metavar="PYTHON",
        help="interpreter with VapourSynth and its filters (none)",
    )
    add("--model", default="rt-s", help="our network (rt-s)")
    add("--backend", default="auto", help="what runs our network (auto)")
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
    add(
        "--neighbours",
        nargs="+",
        type=int,
        default=[],
        metavar="N",
        help="time frames beside N busy processes",
    )
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
        crop=options.crop,
        noises=_noises(options),
        seed=options.seed,
        peers=_peers(options.peers, options.vapoursynth),
        model=options.model,
        backend=options.backend,
        strength=options.strength,
        known=_known(options.known),
        tune_frames=options.tune_frames,
        rounds=options.rounds,
        seconds=options.seconds,
        longest=options.longest,
        neighbours=options.neighbours,
        pictures=options.picture,
    )


def _noises(options: argparse.Namespace) -> list[NoiseKind]:
    if options.camera:
        return [Camera(name) for name in options.camera]
    return [White(sigma, options.crf) for sigma in options.sigma or (10.0, 25.0)]


def _known(earlier: Path | None) -> dict[tuple[str, str, str], Setting]:
    """Settings of an earlier run, by kind of noise, tool and clip."""
    scores = json.loads(earlier.read_text())["scores"] if earlier else {}
    return {
        # Earlier files have one setting for all clips.
        (noise, row["tool"], clip): tuple(score["setting"] if "setting" in score else row["setting"])
        for noise, rows in scores.items()
        for row in rows
        for clip, score in row["clips"].items()
    }


def _peers(names: str, vapoursynth: Path | None) -> list[Tool]:
    """Those that this machine has; the others are named."""
    present = []
    for name in filter(None, names.split(",")):
        if vapoursynth and name in VAPOURSYNTH:
            present.append(vapoursynth_peers(vapoursynth)[name])
        elif reason := missing_reason(name):
            print(f"without {name}: {reason}")
        else:
            present.append(PEERS[name])
    return present


def _print(comparison: Comparison) -> None:
    before, after = comparison.machine
    print(", ".join(f"{name} {value}" for name, value in before.items()))
    print(f"load average at the end: {after['load average']}")
    print(f"clips (size, frames): {'; '.join(comparison.clips)}")
    for noise, scores in comparison.scores.items():
        title = noise if noise in CAMERAS else f"sigma {noise}"
        print(f"\n{title}\n\n{quality_table(scores, OURS)}")
        print(f"\n{title}, PSNR Y / U / V in dB of each clip\n\n{clips_table(scores)}")
    if comparison.speed:
        print(f"\nspeed, on {comparison.clips[0]}\n\n{speed_table(comparison.speed, OURS)}\n")
        print(overlap_text(comparison, OURS, NONE))
        if comparison.other_cores is not None:
            print(f"meanwhile other programs kept {comparison.other_cores:.2f} cores busy")
    if comparison.busy:
        print(f"\nframes beside busy neighbours, on {comparison.clips[0]}\n\n{busy_table(comparison.busy)}")


if __name__ == "__main__":
    main()
