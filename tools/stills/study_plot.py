"""The study as a picture: PSNR against arithmetic, and against each measured time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from stills.cells import SIZES
from stills.results import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["PLAIN", "plot"]

PLAIN = ("matched", "plain", "wider")
"""The plain networks of a size, cheapest first."""
COLOURS = ("#27a", "#a52")  # of the sizes


def plot(found: dict[str, Result], runtimes: list[str], path: Path) -> None:
    """Draw one panel for the arithmetic and one for each runtime that was timed.

    Args:
        found: networks by name.
        runtimes: keys of their times.
        path: of the picture; its extension chooses the format.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2 * (1 + len(runtimes)), 4.2), layout="constrained")
    panels = figure.subplots(1, 1 + len(runtimes), squeeze=False)[0]
    _panel(panels[0], found, {name: each.kmac for name, each in found.items()}, "kMAC per pixel")
    for panel, runtime in zip(panels[1:], runtimes, strict=True):
        times = {name: each.times[runtime] for name, each in found.items() if runtime in each.times}
        _panel(panel, found, times, f"ms ({runtime})")
    panels[0].set_ylabel("PSNR, dB")
    figure.savefig(path, dpi=150)


def _panel(panel: Axes, found: dict[str, Result], costs: dict[str, float], label: str) -> None:
    """The plain networks of a size are joined by a line; bars are the spread over seeds."""
    for size, colour in zip(SIZES, COLOURS, strict=True):
        plain = [f"{size}-{kind}" for kind in PLAIN if f"{size}-{kind}" in costs]
        panel.plot([costs[n] for n in plain], [found[n].mean for n in plain], color=colour, linewidth=1.1)
        for name in (name for name in costs if name.startswith(size)):
            at, mark = (costs[name], found[name].mean), "o" if name in plain else "^"
            panel.errorbar(*at, found[name].spread, fmt=mark, color=colour, capsize=3)
            short = name.split("-")[1]
            panel.annotate(short, at, xytext=(5, -9), textcoords="offset points", fontsize=8)
    panel.set_xscale("log")
    panel.xaxis.set_major_formatter("{x:g}")
    panel.xaxis.set_minor_formatter("{x:g}")
    panel.tick_params(which="both", labelsize=7)
    panel.margins(0.15)
    panel.set_xlabel(label, fontsize=8)
    panel.grid(alpha=0.25, which="both")
