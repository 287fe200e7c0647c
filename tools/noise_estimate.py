"""The noise estimate against known noise: how far off on clips and stills, and what one measurement costs.

    python tools/noise_estimate.py --clips DIR --stills CBSD68 --json estimate.json
    python tools/noise_estimate.py --pair noisy.png clean.png

Noise is white, added in RGB from a fixed seed, then 8-bit 4:2:0. ``true`` is what it comes to in the luma where no
channel is clipped, ``estimate`` the median over frames or stills, ``p90_pct`` what nine in ten single estimates stay
within. The row of sigma 0 is the clean picture: what it shows is grain of its own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from evaluate import table
from evaluation.video import LARGEST
from trainset import load_clip, load_stills
from yardstick.clips import Pictures, add_noise, find_clips, fitted, to_yuv420p

from malle_rt.estimate import estimate_sigma
from malle_rt.measuring import processor_name
from malle_rt.pipeline import nearest_rank

SIGMAS = (3.0, 5.0, 10.0, 15.0, 25.0, 35.0, 50.0)
# A channel is unclipped when it is two sigma from black and white, of the strongest noise as far as there is room.
CLIP_MARGIN, WIDEST_MARGIN = 2, 100


@dataclass(frozen=True, eq=False)
class Sample:
    """Clean RGB pictures that share a row: the frames of a clip, or the stills of a folder.

    Attributes:
        name: of the file or folder.
        clips: (T, H, W, 3) each; a still is a clip of one frame.
    """

    name: str
    clips: list[Pictures]


def main() -> int:
    """Run the command line."""
    options = parse()
    rows = [
        measured(sample, sigma, options.seed)
        for sample in samples(options)
        for sigma in (0.0, *options.sigma)
    ]
    rows += [real(Path(noisy), Path(clean)) for noisy, clean in options.pair]
    print(table(rows))
    if options.json:
        report = {"machine": processor_name(), "seed": options.seed, "rows": rows}
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


def parse() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=Path, nargs="+", default=[], help="clean clips, or folders of them")
    parser.add_argument("--stills", type=Path, nargs="+", default=[], help="folders of clean photographs")
    parser.add_argument(
        "--pair",
        nargs=2,
        action="append",
        default=[],
        metavar=("NOISY", "CLEAN"),
        help="pictures of one scene with real noise and without; may be repeated",
    )
    parser.add_argument("--sigma", type=float, nargs="+", default=list(SIGMAS), help="of RGB, 8-bit scale")
    parser.add_argument("--frames", type=int, default=24, help="frames of each clip")
    parser.add_argument("--limit", type=int, help="stills of each folder, evenly spread over it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if not (options.clips or options.stills or options.pair):
        parser.error("nothing to measure: give --clips, --stills or --pair")
    return options


def samples(options: argparse.Namespace) -> Iterator[Sample]:
    """What is to be measured, loaded one after the other."""
    for path in find_clips(options.clips):
        yield Sample(path.stem, [fitted(load_clip(path, options.frames), LARGEST)])
    for folder in options.stills:
        stills = load_stills(folder)
        count = min(options.limit or len(stills), len(stills))
        spread = (stills[index * len(stills) // count] for index in range(count))
        yield Sample(folder.name, [_even(still) for still in spread])


def measured(sample: Sample, sigma: float, seed: int) -> dict[str, Any]:
    """One row: known noise of ``sigma`` (8-bit scale) on every picture of a sample."""
    residuals, noisy_lumas = [], []
    for number, clip in enumerate(sample.clips):
        clean, noisy = _lumas(clip), _lumas(add_noise(clip, sigma, seed + number))
        residuals.append((noisy.astype(np.float32) - clean)[_unclipped(clip, sigma)])
        noisy_lumas += list(noisy)
    residual = np.concatenate(residuals)
    if residual.size == 0:
        raise ValueError(f"{sample.name}: every pixel is clipped at sigma {sigma:g}, the truth is not known")
    return {"sample": sample.name, "sigma": sigma} | figures(float(residual.std()), noisy_lumas)


def real(noisy: Path, clean: Path) -> dict[str, Any]:
    """One row: a picture with the noise of its camera; its true sigma is that of the difference."""
    noisy_luma, clean_luma = (_lumas(_even(load_clip(path, 1)[0])) for path in (noisy, clean))
    true = float((noisy_luma.astype(np.float32) - clean_luma).std())
    return {"sample": noisy.stem, "sigma": None} | figures(true, list(noisy_luma))


def figures(true: float, lumas: list[npt.NDArray[np.uint8]]) -> dict[str, Any]:
    """Median estimate, its error and the time of one, in ms (median)."""
    estimates, times = [], []
    for luma in lumas:
        begin = time.perf_counter()
        estimate = estimate_sigma(luma)
        times.append((time.perf_counter() - begin) * 1e3)
        if estimate is not None:
            estimates.append(estimate)
    row: dict[str, Any] = {"true": true, "pictures": len(lumas), "untold": len(lumas) - len(estimates)}
    if estimates:
        row["estimate"] = statistics.median(estimates)
    if estimates and true:
        errors = 100 * (np.array(estimates) / true - 1)
        row["error_pct"] = 100 * (row["estimate"] / true - 1)
        row["p90_pct"] = nearest_rank(sorted(np.abs(errors).tolist()), 90)
    return row | {"ms": statistics.median(times)}


def _lumas(clip: Pictures) -> npt.NDArray[np.uint8]:
    """(T, H, W, 3) RGB to (T, H, W)."""
    return to_yuv420p(clip)[:, : clip.shape[1]]


def _unclipped(clip: Pictures, sigma: float) -> npt.NDArray[np.bool_]:
    """Where noise of ``sigma`` stays within 0 to 255 in all channels, but for its tails; (T, H, W)."""
    margin = min(CLIP_MARGIN * sigma, WIDEST_MARGIN)
    inside = (clip >= margin) & (clip <= 255 - margin)
    red, green, blue = np.moveaxis(inside, -1, 0)
    unclipped: npt.NDArray[np.bool_] = red & green & blue
    return unclipped


def _even(still: Pictures) -> Pictures:
    """A still (H, W, 3) as a clip of one frame with even sides."""
    return fitted(still[None], (still.shape[1], still.shape[0]))


if __name__ == "__main__":
    sys.exit(main())
