"""Crops of the same place side by side, so that the numbers can be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from malle_rt.media.rgb import to_rgb
from yardstick.raw_frame import Picture, to_frame

__all__ = ["save_picture"]

CROP = (220, 160)  # width, height
ZOOM = 2
LINE = 24  # height of a label
PER_ROW = 3


def save_picture(path: Path, tiles: Sequence[tuple[str, Picture]]) -> None:
    """Write a PNG of labelled crops from the middle of raw yuv420p pictures (H * 3 // 2, W) of one size."""
    drawn = [_tile(label, picture) for label, picture in tiles]
    drawn += [np.zeros_like(drawn[0])] * (-len(drawn) % PER_ROW)
    rows = [np.hstack(drawn[first : first + PER_ROW]) for first in range(0, len(drawn), PER_ROW)]
    cv2.imwrite(str(path), np.vstack(rows)[..., ::-1])


def _tile(label: str, picture: Picture) -> Picture:
    rgb = to_rgb(to_frame(picture))
    height, width = rgb.shape[:2]
    across, down = min(CROP[0], width), min(CROP[1], height)
    left, top = (width - across) // 2, (height - down) // 2
    crop = rgb[top : top + down, left : left + across].repeat(ZOOM, 0).repeat(ZOOM, 1)
    strip = np.zeros((LINE, crop.shape[1], 3), np.uint8)
    cv2.putText(strip, label, (6, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
    return np.vstack((strip, crop))
