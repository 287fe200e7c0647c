"""Noise as cameras leave it: what `auto` makes of it, beside the best sigma there is.

    python tools/real_noise.py --pairs DIR --out DIR --json real_noise.json
    python tools/real_noise.py --photographs DIR --strength 8 16 --out DIR

``--pairs`` holds NAME_real and NAME_mean: one exposure, and the mean of many of the same scene. The difference is real
noise. A still video is made of it: the mean, and in each frame the noise from another place of the picture (so that its
grain is real while bright and dark parts share it). Figures are PSNR-Y in dB of the last of 16 frames. ``white_dB`` is
what comes of the level that one picture alone tells. With ``--out`` the pictures are written side by side.
``--photographs`` have no clean copy: one frame, to be looked at.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from evaluate import table
from evaluation.models import denoised
from evaluation.stills import Picture, picture_files, read_picture
from yardstick.clips import Pictures, to_yuv420p
from yardstick.raw import luma, save_picture

from malle_rt.config import DenoiseConfig
from malle_rt.errors import ConfigError, MalleError
from malle_rt.estimate import estimate_sigma
from malle_rt.measuring import processor_name, psnr

FRAMES = 16
SIGMAS = (2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 12.0, 14.0, 17.0, 20.0)


def main() -> int:
    """Run the command line."""
    options = parse()
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
    try:
        rows = pairs(options) if options.pairs else []
        if options.photographs:
            photographs(options)
    except MalleError as exc:
        print(f"real_noise.py: {exc}", file=sys.stderr)
        return 2 if isinstance(exc, ConfigError) else 1
    if rows:
        print(table([*rows, mean_of(rows)]))
    if rows and options.json:
        report = {"machine": processor_name(), "model": options.model, "seed": options.seed, "rows": rows}
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


def parse() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=Path, help="folder of NAME_real and NAME_mean")
    parser.add_argument("--photographs", type=Path, help="folder of noisy photographs")
    parser.add_argument("--model", default="rt-s")
    parser.add_argument("--strength", type=float, nargs="+", default=[8.0], help="for the photographs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="folder for pictures")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if not options.pairs and not (options.photographs and options.out):
        parser.error("needs --pairs, or --photographs and --out")
    return options


def pairs(options: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each pair."""
    found = {path.stem: path for path in picture_files(options.pairs)}
    rows = []
    for name in [name.removesuffix("_real") for name in found if name.endswith("_real")]:
        mean, real = (read_picture(found[f"{name}_{kind}"]) for kind in ("mean", "real"))
        clean, noisy = still_video(mean, real, options.seed)
        rows.append({"picture": name} | measured(name, clean, noisy, options))
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


def still_video(mean: Picture, real: Picture, seed: int) -> tuple[Pictures, Pictures]:
    """The clean frame, (1, H * 3 // 2, W), and noisy ones, (T, H * 3 // 2, W)."""
    height, width = (side // 2 * 2 for side in mean.shape[:2])
    mean, real = mean[:height, :width], real[:height, :width]
    noise = real.astype(np.int16) - mean
    random = np.random.default_rng(seed)
    moved = [np.roll(noise, tuple(random.integers(0, mean.shape[:2])), (0, 1)) for _ in range(FRAMES - 1)]
    frames = [np.clip(mean + each, 0, 255).astype(np.uint8) for each in (*moved, noise)]
    return to_yuv420p(mean[None]), to_yuv420p(np.stack(frames))


def measured(name: str, clean: Pictures, noisy: Pictures, options: argparse.Namespace) -> dict[str, Any]:
    """Sigmas and what they make of the last frame."""
    truth = luma(clean[0])
    automatic, sigma = last_frame(noisy, options.model, "auto")
    white = estimate_sigma(luma(noisy[-1])) or 0.0
    results = {each: last_frame(noisy, options.model, each)[0] for each in (white, *SIGMAS)}
    scores = {each: psnr(truth, luma(result)) for each, result in results.items()}
    best = max(SIGMAS, key=scores.__getitem__)
    if options.out:
        shown = {"noisy": noisy[-1], f"auto: {sigma:.1f}": automatic, f"best: {best:g}": results[best]}
        save_picture(options.out / f"{name}.png", [*shown.items(), ("mean of many", clean[0])])
    return {
        "noisy_dB": psnr(truth, luma(noisy[-1])),
        "white": white,
        "white_dB": scores[white],
        "auto": sigma,
        "auto_dB": psnr(truth, luma(automatic)),
        "best": best,
        "best_dB": scores[best],
    }


def last_frame(noisy: Pictures, model: str, sigma: float | Literal["auto"]) -> tuple[Pictures, float]:
    """The last of the frames, (H * 3 // 2, W), and the sigma that it was denoised with."""
    clean, used = denoised(noisy, DenoiseConfig(model=model, strength=sigma))
    return clean[-1], used


def photographs(options: argparse.Namespace) -> None:
    """Write each one, noisy and denoised as the first frame of a video."""
    for path in picture_files(options.photographs):
        picture = read_picture(path)
        height, width = (side // 2 * 2 for side in picture.shape[:2])
        noisy = to_yuv420p(picture[None, :height, :width])
        shown = [(f"strength {s:g}", last_frame(noisy, options.model, s)[0]) for s in options.strength]
        save_picture(options.out / f"{path.stem}.png", [("noisy", noisy[0]), *shown])


def mean_of(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The row below the table."""
    names = [name for name in rows[0] if name != "picture"]
    return {"picture": "mean"} | {name: float(np.mean([row[name] for row in rows])) for name in names}


if __name__ == "__main__":
    sys.exit(main())
