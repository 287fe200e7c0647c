"""Quality of photographs against time and arithmetic: a row of panels for each cost, a panel for each noise level."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from evaluation.plot import frontier

from peerspeed.book import Table
from peerspeed.quality import PLOTTED, Score
from peerspeed.words import title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot"]

GREEN, GREY = "#2a7", "#889"


def plot(measured: Table, scores: list[Score], path: Path) -> None:
    """Draw every network that has both a cost and a quality; hollow marks are published figures.

    Args:
        measured: the costs.
        scores: the qualities.
        path: of the picture; its extension chooses the format.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * len(PLOTTED), 6.6), layout="constrained")
    panels = figure.subplots(2, len(PLOTTED), squeeze=False, sharey="col")
    costs = (
        (f"ms per picture of {measured.size}", {row.network: row.ms["median"] for row in measured.rows}),
        ("kMAC per pixel", {row.network: row.kmac_per_pixel for row in measured.rows}),
    )
    for line, (label, cost) in zip(panels, costs, strict=True):
        for panel, sigma in zip(line, PLOTTED, strict=True):
            _panel(panel, cost, [score for score in scores if score.sigma == sigma])
            panel.set_xlabel(label, fontsize=8)
        line[0].set_ylabel("PSNR, dB")
    for panel, sigma in zip(panels[0], PLOTTED, strict=True):
        panel.set_title(f"noise of sigma {sigma}", fontsize=10)
    foot = f"CBSD68. {measured.machine}, {measured.runtime}, {measured.threads} threads. Hollow: PSNR as published."
    figure.supxlabel(foot, fontsize=7, color="#667")
    figure.savefig(path, dpi=130)


def _panel(panel: Axes, cost: dict[str, float], scores: list[Score]) -> None:
    shown = sorted((score for score in scores if score.network in cost), key=lambda each: cost[each.network])
    points = [(cost[score.network], score.psnr) for score in shown]
    best = frontier(points)
    panel.plot(*zip(*best, strict=True), color=GREEN, linewidth=1.2, zorder=1)
    for number, (score, point) in enumerate(zip(shown, points, strict=True)):
        colour = GREEN if point in best else GREY
        inside = colour if score.measured else "white"
        panel.scatter(*point, s=36, facecolor=inside, edgecolor=colour, zorder=2)
        name = title(score.network).partition(" ")[0].strip("`")
        # In turn on either side of the rising line, so that neighbours' names keep clear of each other.
        place, align = ((-5, 5), "right") if number % 2 else ((6, -11), "left")
        panel.annotate(name, point, xytext=place, ha=align, textcoords="offset points", fontsize=8)
    panel.set_xscale("log")
    panel.margins(0.25, 0.2)
    panel.tick_params(which="both", labelsize=7)
    panel.grid(alpha=0.25, which="both")
