"""What the study's runs add up to: means, spreads, and the cost at which plain networks reach a PSNR."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from itertools import pairwise

from studies.book import Book

__all__ = ["Result", "cost_at", "gain", "results"]


@dataclass(frozen=True)
class Result:
    """One network of the study.

    Attributes:
        cell: its name.
        kmac: thousands of multiply-adds per pixel.
        psnr: by seed, in dB; runs that diverged have none.
        diverged: how many those were.
        times: ms per picture, by machine and runtime.
    """

    cell: str
    kmac: float
    psnr: dict[int, float]
    diverged: int
    times: dict[str, float]

    @property
    def mean(self) -> float:
        """Over seeds."""
        return statistics.fmean(self.psnr.values())

    @property
    def spread(self) -> float:
        """Standard deviation over seeds; not a number for a single one."""
        return _deviation(list(self.psnr.values()))


def results(book: Book) -> dict[str, Result]:
    """Networks with at least one good run, by name, in the order of their cost."""
    found = {}
    for cell, config in book.cells.items():
        runs = [run for run in book.runs if run["cell"] == cell]
        psnr = {run["seed"]: run["psnr"] for run in runs if run["psnr"] is not None}
        times = {name: each[cell] for name, each in book.times.items() if cell in each}
        if psnr:
            found[cell] = Result(cell, config["kmac_per_pixel"], psnr, len(runs) - len(psnr), times)
    return dict(sorted(found.items(), key=lambda item: item[1].kmac))


def gain(better: Result, other: Result) -> tuple[float, float]:
    """Mean and standard deviation over the common seeds of how many dB one is above the other."""
    differences = [better.psnr[seed] - other.psnr[seed] for seed in better.psnr if seed in other.psnr]
    if not differences:
        return math.nan, math.nan
    return statistics.fmean(differences), _deviation(differences)


def _deviation(values: list[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else math.nan


def cost_at(curve: list[tuple[float, float]], psnr: float) -> float | None:
    """Where a curve of (cost, PSNR) first reaches a PSNR; the cost between points is read off a logarithmic axis.

    Returns:
        None when all of the curve lies on one side.
    """
    points = sorted(curve)
    if not points or points[0][1] > psnr:
        return None
    for (cost, below), (next_cost, above) in pairwise(points):
        if below <= psnr <= above and below < above:
            share = (psnr - below) / (above - below)
            return float(cost * (next_cost / cost) ** share)
    return None
