"""Text in pictures: OpenCV 5's own outline font where there is one, the antialiased stroke font of OpenCV 4 else."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from malle_rt.opencv import opencv

__all__ = ["draw_text", "fitted", "text_width", "wrapped"]

_PLAIN, _BOLD = 420, 640  # weights of the outline font, 100 to 1000
_STROKE_BOLD = 22  # pixels; thicker strokes fill smaller letters
_STROKE_SCALE = 1 / 31  # makes the stroke font's capitals as high as the outline font's


def text_width(text: str, size: int, *, bold: bool = False) -> int:
    """Pixels from the start of the text to its end."""
    cv2, face = opencv(), _face()
    if face is not None:
        return int(cv2.getTextSize((0, 0), text, (0, 0), face, size, _BOLD if bold else _PLAIN)[2])
    box, _ = cv2.getTextSize(_ascii(text), *_stroke(size, bold))
    return int(box[0])


def draw_text(
    picture: npt.NDArray[np.uint8],
    text: str,
    at: tuple[int, int],
    size: int,
    color: tuple[int, int, int],
    *,
    bold: bool = False,
) -> None:
    """Draw one line into the picture.

    Args:
        picture: (rows, columns, 3), changed in place.
        text: what does not fit into the picture is cut; the stroke font shows "?" for what is not ASCII.
        at: column of its start and row of its baseline.
        size: in pixels, from the top of a high letter to the bottom of a low one, about.
        color: (blue, green, red).
        bold: heavier strokes.
    """
    cv2, face = opencv(), _face()
    if face is not None:
        cv2.putText(picture, text, at, color, face, size, _BOLD if bold else _PLAIN)
        return
    font, scale, thickness = _stroke(size, bold)
    cv2.putText(picture, _ascii(text), at, font, scale, color, thickness, cv2.LINE_AA)


def fitted(text: str, size: int, width: int) -> str:
    """The text, shortened at its end where it is wider than so many pixels."""
    if text_width(text, size) <= width:
        return text
    while text and text_width(f"{text}...", size) > width:
        text = text[:-1].rstrip()
    return f"{text}..."


def wrapped(text: str, size: int, width: int, lines: int, *, bold: bool = False) -> list[str]:
    """The text in at most so many lines that fit the width; the last one is shortened where it must be."""
    done: list[str] = []
    rest = text.split()
    while rest and len(done) < lines - 1:
        count = len(rest)
        while count > 1 and text_width(" ".join(rest[:count]), size, bold=bold) > width:
            count -= 1
        done.append(fitted(" ".join(rest[:count]), size, width))
        rest = rest[count:]
    if rest:
        # Bold letters are up to a tenth wider than those that ``fitted`` measures.
        done.append(fitted(" ".join(rest), size, round(width * 0.9) if bold else width))
    return done


@lru_cache(maxsize=1)
def _face() -> Any | None:
    cv2 = opencv()
    return cv2.FontFace("sans") if hasattr(cv2, "FontFace") else None


def _stroke(size: int, bold: bool) -> tuple[int, float, int]:
    """Font, scale and thickness as OpenCV 4 wants them."""
    heavier = int(bold and size >= _STROKE_BOLD)
    return opencv().FONT_HERSHEY_SIMPLEX, size * _STROKE_SCALE, max(1, round(size / 18)) + heavier


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode("ascii")
