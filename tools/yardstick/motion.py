"""Whether a clip moves: the means over moving and over still clips say different things about a denoiser."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["busiest_and_calmest", "changes", "moves"]

Rgb = npt.NDArray[np.uint8]
BLOCK = 16
MOVING = 0.3  # codes: an encoded still camera has 0.1, a slow pan over smooth things 0.6


def changes(rgb: Rgb) -> npt.NDArray[np.float64]:
    """Mean change of each block of 16 x 16 pixels from frame to frame, in codes: (H // 16, W // 16)."""
    rows, columns = (side // BLOCK for side in rgb.shape[1:3])
    grey = rgb[:, : rows * BLOCK, : columns * BLOCK].mean(3)
    blocks = np.abs(np.diff(grey, axis=0)).reshape(-1, rows, BLOCK, columns, BLOCK)
    return np.asarray(blocks.mean((0, 2, 4)))


def moves(rgb: Rgb) -> bool:
    """Whether more than half of the picture (T, H, W, 3) moves; at least 16 x 16 pixels and two frames."""
    return bool(np.median(changes(rgb)) > MOVING)


def busiest_and_calmest(rgb: Rgb, size: tuple[int, int]) -> tuple[Rgb, Rgb]:
    """The parts of (width, height) that change most and least from frame to frame, of frames (T, H, W, 3)."""
    width, height = size
    change = changes(rgb)
    rows, columns = max(height // BLOCK, 1), max(width // BLOCK, 1)
    places = [
        (change[top : top + rows, left : left + columns].mean(), top * BLOCK, left * BLOCK)
        for top in range(change.shape[0] - rows + 1)
        for left in range(change.shape[1] - columns + 1)
        if top * BLOCK + height <= rgb.shape[1] and left * BLOCK + width <= rgb.shape[2]
    ]
    _, top, left = max(places)
    _, calm_top, calm_left = min(places)
    return (
        rgb[:, top : top + height, left : left + width],
        rgb[:, calm_top : calm_top + height, calm_left : calm_left + width],
    )
