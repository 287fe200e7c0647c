"""What the presets by use gain, beside `auto` and the best fixed strength: the table of docs/settings.md.

    python tools/preset_gains.py --clips CLIP ... --json docs/preset_gains.json

Each clip is recorded by the camera model of ``cameras.py`` that belongs to the preset, with seeds that no training
uses, and its encoders. Gains are PSNR-Y in dB over the recording, against what that camera would have shown without
noise, means over clips, seeds and the frames behind ``SETTLED``. A preset's deinterlacing is left out: recordings are
progressive.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from evaluate import table
from evaluation.models import denoised
from yardstick.clips import NoisyClip, Pictures, camera_clip, clean_clips, find_clips
from yardstick.raw import luma

from malle_rt.cli.options import strength
from malle_rt.cli.settings import PRESETS
from malle_rt.config import DenoiseConfig
from malle_rt.errors import ConfigError, MalleError
from malle_rt.measuring import processor_name, psnr

CAMERAS = {"phone": "phone", "webcam": "webcam", "cctv": "cctv", "tape": "tape", "grain": "film"}
STRENGTHS = (2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 14.0)
FRAMES, SETTLED = 16, 6


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line."""
    options = parse(words)
    rows = []
    try:
        for use in options.uses:
            rows.append(row(use, options))
            print(rows[-1], file=sys.stderr, flush=True)
    except MalleError as exc:
        print(f"preset_gains.py: {exc}", file=sys.stderr)
        return 2 if isinstance(exc, ConfigError) else 1
    print(table(rows))
    if options.json:
        kept = ("size", "frames", "seeds", "model")
        report = {
            "machine": processor_name(),
            "settled": SETTLED,
            "clips": [path.name for path in options.clips],
        }
        report |= {name: getattr(options, name) for name in kept} | {"rows": rows}
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--clips", type=Path, nargs="+", required=True, help="clean clips, or folders of them"
    )
    parser.add_argument("--uses", nargs="+", choices=sorted(CAMERAS), default=list(CAMERAS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--size", type=int, nargs=2, default=(320, 180), metavar=("W", "H"))
    parser.add_argument("--frames", type=int, default=FRAMES)
    parser.add_argument("--model", default="rt-s")
    parser.add_argument("--json", type=Path)
    return parser.parse_args(words)


def row(use: str, options: argparse.Namespace) -> dict[str, Any]:
    """One preset's line: gains in dB of the preset, of auto and of the fixed strength that is best on the mean."""
    recordings = [
        camera_clip(clean_clips(path, tuple(options.size), options.frames)[0], CAMERAS[use], seed)
        for path in find_clips(options.clips)
        for seed in options.seeds
    ]
    preset = {name: value for name, value in PRESETS[use].items() if name in ("strength", "mix")}
    chosen = DenoiseConfig(
        model=options.model, strength=strength(preset["strength"]), mix=preset.get("mix", 1.0)
    )
    fixed = {each: gain(recordings, DenoiseConfig(model=options.model, strength=each)) for each in STRENGTHS}
    best = max(fixed, key=fixed.__getitem__)
    automatic = DenoiseConfig(model=options.model, strength="auto")
    return {
        "use": use,
        "camera": CAMERAS[use],
        "preset": " ".join(f"{name} {value}" for name, value in preset.items()),
        "preset_dB": gain(recordings, chosen),
        "auto_dB": gain(recordings, automatic),
        "best": best,
        "best_dB": fixed[best],
    }


def gain(recordings: Sequence[NoisyClip], config: DenoiseConfig) -> float:
    """Mean gain in dB."""
    return round(float(np.mean([_gain(each, denoised(each.noisy, config)[0]) for each in recordings])), 2)


def _gain(recording: NoisyClip, result: Pictures) -> float:
    triples = list(zip(recording.clean, recording.noisy, result, strict=True))[SETTLED:]
    return float(np.mean([psnr(luma(a), luma(c)) - psnr(luma(a), luma(b)) for a, b, c in triples]))


if __name__ == "__main__":
    sys.exit(main())
