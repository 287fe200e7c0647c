"""A sheet of labelled crops of one frame, pixel by pixel, at the place where its versions differ most."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from malle_rt.frame import Frame
from malle_rt.media.drawn_text import draw_text, text_width
from malle_rt.media.rgb import to_bgr

__all__ = ["preview_sheet"]

CROP = (480, 360)  # columns and rows at most: six of them fit a screen
GAP = 4  # pixels between crops
LABEL = 28  # rows of the strip above each crop
_TEXT, _MARGIN = 17, 8  # height of the letters, and columns before and behind them
_INK, _STRIP = (245, 245, 245), 32


def preview_sheet(
    noisy: Frame, denoised: Sequence[Frame], labels: Sequence[str], rotation: int = 0
) -> tuple[npt.NDArray[np.uint8], tuple[int, int, int, int]]:
    """Compare versions of a frame.

    Args:
        noisy: the frame as it came; its crop comes first.
        denoised: its versions, of the same size.
        labels: a text for each of them, above its crop.
        rotation: degrees by which they are turned counter-clockwise to stand upright, a multiple of 90.

    Returns:
        The sheet, (rows, columns, 3) BGR, and the place of the crops in the upright frame: column, row, width, height.
    """
    turns = rotation // 90
    lumas = [np.rot90(frame.planes[0], turns) for frame in denoised]
    rows, columns = lumas[0].shape
    size = min(columns, CROP[0]), min(rows, CROP[1])
    x, y = _most_different(lumas, size)
    crops = [np.rot90(to_bgr(frame), turns)[y : y + size[1], x : x + size[0]] for frame in (noisy, *denoised)]
    texts = ("noisy", *labels)
    width = max(size[0], *(text_width(text, _TEXT) + 2 * _MARGIN for text in texts))
    tiles = [_tile(crop, text, width) for crop, text in zip(crops, texts, strict=True)]
    return _in_rows(tiles), (x, y, *size)


def _most_different(lumas: Sequence[npt.NDArray[np.integer]], size: tuple[int, int]) -> tuple[int, int]:
    """Column and row of the window of that size with the largest sum of squared spreads."""
    # Pixel by pixel, how far the versions lie apart; signed, for unsigned differences wrap around.
    spread = np.ptp(np.stack(lumas).astype(np.int64), axis=0)
    sums = np.pad(np.square(spread).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    across, down = size
    windows = sums[down:, across:] - sums[:-down, across:] - sums[down:, :-across] + sums[:-down, :-across]
    row, column = np.unravel_index(int(np.argmax(windows)), windows.shape)
    return int(column), int(row)


def _tile(crop: npt.NDArray[np.uint8], text: str, width: int) -> npt.NDArray[np.uint8]:
    """A crop under its label, in the middle of so many columns."""
    rows, columns, _ = crop.shape
    tile = np.full((LABEL + rows, width, 3), _STRIP, np.uint8)
    left = (width - columns) // 2
    tile[LABEL:, left : left + columns] = crop
    draw_text(tile, text, (_MARGIN, LABEL - 9), _TEXT, _INK)
    return tile


def _in_rows(tiles: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.uint8]:
    """Tiles of one size in a sheet about as many across as down, white between."""
    across = math.ceil(math.sqrt(len(tiles)))
    down = math.ceil(len(tiles) / across)
    high, wide, _ = tiles[0].shape
    sheet = np.full((down * (high + GAP) - GAP, across * (wide + GAP) - GAP, 3), 255, np.uint8)
    for number, tile in enumerate(tiles):
        y, x = number // across * (high + GAP), number % across * (wide + GAP)
        sheet[y : y + high, x : x + wide] = tile
    return sheet
