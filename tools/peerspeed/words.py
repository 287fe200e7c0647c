"""How networks and figures are written."""

from __future__ import annotations

__all__ = ["TITLES", "number", "title"]

TITLES = {
    "swinir": "SwinIR (colour denoising, medium size)",
    "drunet": "DRUNet colour",
    "fastdvdnet": "FastDVDnet (5 frames in, 1 out)",
    "dncnn": "DnCNN colour-blind",
    "ffdnet": "FFDNet colour",
}


def title(network: str) -> str:
    """What people call it; ours have their names in the program."""
    return TITLES.get(network, f"`{network}`")


def number(value: float) -> str:
    """Three digits that count, or all before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
