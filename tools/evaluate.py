"""Quality of networks on photographs and clips with known noise, beside other people's, in one run.

    python tools/evaluate.py --model rt-s ffdnet --clips DIR --sigma 10 25 50 --peers DIR --json scores.json
    python tools/evaluate.py --model ffdnet dncnn --images CBSD68 --sigma 15 25 50 --peers DIR

Noise is white, added in RGB from a fixed seed; clips then become 8-bit 4:2:0. Networks that are told the noise level
are told the true one, peers on clips the multiple of it that suits them best. Milliseconds are the median of a few
calls on the first picture or clip; start-up and conversions are included.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from evaluation.models import PEERS, macs, still_denoiser, video_denoiser
from evaluation.stills import Still, StillDenoiser, load_stills, noisy_still
from evaluation.stills import measure as measure_stills
from evaluation.video import cut_ghost, load_clips, still_gain
from evaluation.video import measure as measure_video
from yardstick.clips import NoisyClip, find_clips

from malle_rt.errors import ConfigError, MalleError
from malle_rt.measuring import processor_name

# Multiples of the true noise level that peers are tried with on clips: 4:2:0 and 8 bits change the noise.
MAP_GAINS = (0.9, 1.0, 1.1, 1.25)
TIMED = 3  # calls


def main() -> int:
    """Run the command line."""
    options = parse()
    try:
        rows = stills(options) if options.images else clips(options)
    except MalleError as exc:
        print(f"evaluate.py: {exc}", file=sys.stderr)
        return 2 if isinstance(exc, ConfigError) else 1
    print(table(rows))
    if options.json:
        report = {"machine": processor_name(), "seed": options.seed, "rows": rows}
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    if options.plot:
        plot(rows, options.plot, processor_name())
    return 0


def parse() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", nargs="+", required=True, help=f"ours by name, or {', '.join(PEERS)}")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--images", type=Path, help="folder of clean photographs")
    what.add_argument("--clips", type=Path, nargs="+", help="clean clips, or a folder of them")
    parser.add_argument("--sigma", type=float, nargs="+", default=[25.0], help="8-bit scale")
    parser.add_argument("--frames", type=int, default=24, help="frames of each clip")
    parser.add_argument("--limit", type=int, help="photographs")
    parser.add_argument("--precision", default="auto", help="of ours")
    parser.add_argument(
        "--behaviour", type=Path, help="folder of photographs that stand still, and are cut between"
    )
    parser.add_argument("--peers", type=Path, default=Path(), help="folder of other people's weights")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path, help="picture of quality against cost (matplotlib)")
    options = parser.parse_args()
    for path in filter(None, (options.json, options.plot)):
        if not path.parent.is_dir():  # found out before the work, not after
            parser.error(f"no folder {path.parent} to write {path.name} to")
    if options.plot and find_spec("matplotlib") is None:
        parser.error("--plot needs matplotlib: pip install 'malle-rt[report]'")
    return options


def stills(options: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each network and noise level."""
    denoisers = {name: still_denoiser(name, options.peers) for name in options.model}
    pictures = load_stills(options.images, options.limit)
    rows = []
    for name, denoise in denoisers.items():
        about = {"pictures": len(pictures)} | timed_still(denoise, next(iter(pictures.values())))
        about |= cost(name, options.peers)
        for sigma in options.sigma:
            figures = measure_stills(denoise, pictures, sigma, options.seed)
            rows.append({"model": name, "sigma": sigma} | figures | about)
    return rows


def clips(options: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each network and noise level."""
    for name in options.model:
        video_denoiser(name, options.peers, options.precision)  # a wrong name ends it before the work
    rows = []
    for sigma in options.sigma:
        loaded = load_clips(find_clips(options.clips), frames=options.frames, sigma=sigma, seed=options.seed)
        for name in options.model:
            row = {"model": name, "sigma": sigma, "clips": len(loaded), "frames": options.frames}
            rows.append(row | best(name, loaded, options) | cost(name, options.peers))
            if options.behaviour and name not in PEERS:
                rows[-1] |= behaviour(name, sigma, options)
    return rows


def best(name: str, loaded: list[NoisyClip], options: argparse.Namespace) -> dict[str, Any]:
    """Figures of one network; of a peer, at the noise level that gives it the best PSNR-Y."""
    tried = []
    for gain in MAP_GAINS if name in PEERS else (1.0,):
        denoise = video_denoiser(name, options.peers, options.precision, gain)
        figures: dict[str, Any] = dict(measure_video(denoise, loaded))
        tried.append(figures | ({"map_gain": gain} if name in PEERS else {}))
    chosen = max(tried, key=lambda figures: float(figures["psnr_y"]))
    denoise = video_denoiser(name, options.peers, options.precision)
    clip = loaded[0]
    call = milliseconds(lambda: denoise(clip.noisy, 10.0))
    return chosen | {"ms_per_frame": round(call / len(clip.noisy), 2)}


def timed_still(denoise: StillDenoiser, picture: Still) -> dict[str, Any]:
    """What a picture takes in time, and how large it was."""
    noisy = noisy_still(picture, 10.0, 0)
    with torch.inference_mode():
        call = milliseconds(lambda: denoise(noisy, 10.0))
    height, width = picture.shape[:2]
    return {"ms_per_picture": round(call, 2), "timed_at": f"{width}x{height}"}


def milliseconds(call: Callable[[], object]) -> float:
    """Of one call, median of a few; the first ones warm up as well, so it is an upper bound."""
    times = []
    for _ in range(TIMED):
        begin = time.perf_counter()
        call()
        times.append((time.perf_counter() - begin) * 1e3)
    return statistics.median(times)


def behaviour(name: str, sigma: float, options: argparse.Namespace) -> dict[str, float]:
    """The first second of a still scene, and the frames after a cut."""
    pictures = list(load_stills(options.behaviour, 6).values())
    pictures = [picture for picture in pictures if picture.shape == pictures[0].shape]
    if len(pictures) < 2:
        raise ConfigError(f"--behaviour {options.behaviour}: a cut needs two pictures as large as the first")
    denoise = video_denoiser(name, options.peers, options.precision)
    pairs = list(pairwise(pictures))
    return {
        "still_gain_db": still_gain(denoise, pictures, sigma),
        "cut_ghost_db": cut_ghost(denoise, pairs, sigma),
    }


def cost(name: str, weights: Path) -> dict[str, float]:
    """Arithmetic of one pixel."""
    return {"kmac_per_pixel": round(macs(name, weights), 1)}


def table(rows: list[dict[str, Any]]) -> str:
    """Rows for people, one column for each figure that occurs."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [names, *([_cell(row.get(name)) for name in names] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(c.rjust(w) for c, w in zip(line, widths, strict=True)) for line in cells)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def plot(rows: list[dict[str, Any]], path: Path, machine: str) -> None:
    """Draw the rows of an evaluation.

    Args:
        rows: with "model", "sigma", "kmac_per_pixel", and "psnr_y" (clips) or "psnr" (photographs).
        path: of the picture; its extension chooses the format.
        machine: what measured, for the foot.
    """
    from matplotlib.figure import Figure

    quality = "psnr_y" if "psnr_y" in rows[0] else "psnr"
    sigmas = sorted({row["sigma"] for row in rows})
    figure = Figure(figsize=(4.2 * len(sigmas), 3.8), layout="constrained")
    panels = figure.subplots(1, len(sigmas), squeeze=False)[0]
    for panel, sigma in zip(panels, sigmas, strict=True):
        chosen = [row for row in rows if row["sigma"] == sigma]
        points = [(float(row["kmac_per_pixel"]), float(row[quality])) for row in chosen]
        best = frontier(points)
        panel.plot(*zip(*best, strict=True), color="#2a7", linewidth=1.2, zorder=1)
        for row, point in zip(chosen, points, strict=True):
            panel.scatter(*point, s=36, color="#2a7" if point in best else "#889", zorder=2)
            panel.annotate(row["model"], point, xytext=(6, -11), textcoords="offset points", fontsize=9)
        panel.set_xscale("log")
        panel.margins(0.25, 0.2)
        panel.set_title(f"noise of sigma {sigma:g}", fontsize=10)
        panel.set_xlabel("kMAC per pixel")
        panel.grid(alpha=0.25, which="both")
    panels[0].set_ylabel("PSNR-Y, dB" if quality == "psnr_y" else "PSNR, dB")
    figure.supxlabel(machine, fontsize=7, color="#667")
    figure.savefig(path, dpi=150)


def frontier(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points (cost, quality) that no other one beats in both, cheapest first."""
    best: list[tuple[float, float]] = []
    for cost, quality in sorted(set(points), key=lambda point: (point[0], -point[1])):
        if not best or quality > best[-1][1]:
            best.append((cost, quality))
    return best


if __name__ == "__main__":
    sys.exit(main())
