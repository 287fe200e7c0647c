"""Quality against cost: one panel for each noise level, a point for each network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["frontier", "plot"]


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
