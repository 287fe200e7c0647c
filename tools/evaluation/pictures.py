"""Photographs from files: the one way the tools read them, AVIF included, which older OpenCV wheels cannot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from malle_rt.errors import ConfigError, SourceError

__all__ = ["SUFFIXES", "Picture", "picture_files", "read_picture"]

SUFFIXES = {".avif", ".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
Picture = npt.NDArray[np.uint8]
"""(H, W, 3) RGB."""


def picture_files(folder: Path, limit: int | None = None) -> list[Path]:
    """Pictures of a folder in the order of their names.

    Args:
        folder: what else lies in it is passed over.
        limit: the first so many; None for all.

    Raises:
        ConfigError: it is no folder that can be read, or holds no pictures.
    """
    try:
        found = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)[:limit]
    except OSError as exc:
        raise ConfigError(f"{folder}: not a folder that can be read ({exc.strerror})") from exc
    if not found:
        raise ConfigError(f"{folder}: no pictures ({', '.join(sorted(SUFFIXES))})")
    return found


def read_picture(path: Path) -> Picture:
    """Decode a picture to 8-bit RGB; transparency is dropped, rotation tags are not followed.

    Raises:
        SourceError: it is damaged, or this Pillow does not know the format.
    """
    try:
        with Image.open(path) as file:
            return np.array(file.convert("RGB"), np.uint8)
    except (OSError, SyntaxError, ValueError) as exc:  # what Pillow's decoders raise on damaged files
        hint = "; AVIF needs Pillow 11.3 or newer" if path.suffix.lower() == ".avif" else ""
        raise SourceError(f"{path}: not a picture that can be read ({exc}{hint})") from exc
