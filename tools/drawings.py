"""Draw pictures with what photographs lack: lettering, line art, flat colours, hard edges.

    python tools/drawings.py OUT --count 250 --seed 0
    python tools/drawings.py OUT --count 8 --seed 100 --frames 12

To train on beside photographs (`tools/train.py --stills PHOTOGRAPHS OUT`): captions, slides, screens and animation are
video too, and have edges that no lens ever softened. With ``--frames`` each becomes a clip to measure on, a folder of
frames seen through a window that stands still or moves by one to three pixels a frame. PNG, from the seed alone but
for the letters, which are OpenCV's.
"""

from __future__ import annotations

import argparse
import string
import sys
from pathlib import Path

import cv2
import numpy as np

__all__ = ["draw", "filmed"]

SIDE = 480  # of a picture in pixels
WINDOW = (320, 400)  # rows and columns that a clip shows of it
MARGIN = 20  # of the first frame's window to the picture's top and left
FASTEST = 3  # pixels a frame
MOST = (SIDE - MARGIN - WINDOW[1]) // FASTEST + 1  # frames, for the window to stay inside
FINER = 3  # times as large a picture is drawn from, to be averaged down: edges of every softness in between
FONTS = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
    cv2.FONT_HERSHEY_SCRIPT_SIMPLEX,
)
Colour = tuple[int, int, int]


def draw(rng: np.random.Generator, side: int = SIDE) -> np.ndarray:
    """One picture, (side, side, 3) uint8 RGB; ``side`` in pixels."""
    canvas = _ground(rng, side * FINER)
    makers = [_shapes, _shapes, _lettering, _lines, _hatching, _checks]
    for number in rng.permutation(len(makers))[: rng.integers(2, 5)]:
        makers[number](rng, canvas)
    return cv2.resize(canvas, (side, side), interpolation=cv2.INTER_AREA)


def filmed(picture: np.ndarray, speed: int, frames: int) -> list[np.ndarray]:
    """What a window of WINDOW rows and columns shows as it moves to the right.

    Args:
        picture: (rows, columns, 3).
        speed: pixels a frame, 0 or more.
        frames: how many.

    Returns:
        Views of the picture, (*WINDOW, 3) each.

    Raises:
        ValueError: the window would leave the picture.
    """
    rows, columns = WINDOW
    if MARGIN + speed * (frames - 1) + columns > picture.shape[1]:
        raise ValueError(f"{frames} frames at {speed} pixels a frame leave a picture {picture.shape[1]} wide")
    lefts = [MARGIN + speed * index for index in range(frames)]
    return [picture[MARGIN : MARGIN + rows, left : left + columns] for left in lefts]


def _colour(rng: np.random.Generator) -> Colour:
    """Any colour, often a grey, often near black or white."""
    kind = rng.random()
    if kind < 0.35:
        level = int(rng.choice([rng.integers(0, 40), rng.integers(215, 256), rng.integers(0, 256)]))
        return level, level, level
    red, green, blue = rng.integers(0, 256, 3)
    return int(red), int(green), int(blue)


def _point(rng: np.random.Generator, side: int) -> tuple[int, int]:
    x, y = rng.integers(0, side, 2)
    return int(x), int(y)


def _ground(rng: np.random.Generator, side: int) -> np.ndarray:
    """One colour, or a gradient between two."""
    first, second = (np.array(_colour(rng), np.float32) for _ in range(2))
    if rng.random() < 0.5:
        second = first
    angle = rng.uniform(0, 2 * np.pi)
    line = np.linspace(-0.5, 0.5, side, dtype=np.float32)
    ramp = 0.5 + (np.cos(angle) * line + np.sin(angle) * line[:, None]) / 1.5
    ground = first + (second - first) * ramp[..., None]
    return np.ascontiguousarray(np.rint(ground).astype(np.uint8))


def _shapes(rng: np.random.Generator, canvas: np.ndarray) -> None:
    """Polygons and round shapes, some of them outlined, as in animation."""
    side = len(canvas)
    for _ in range(rng.integers(4, 20)):
        reach = rng.uniform(0.02, 0.3) * side
        corners = int(rng.integers(3, 9))
        turns = np.sort(rng.uniform(0, 2 * np.pi, corners if rng.random() < 0.6 else 60))
        far = reach * (rng.uniform(0.4, 1, len(turns)) if corners == len(turns) else 1)
        around = np.stack((np.cos(turns) * far, np.sin(turns) * far * rng.uniform(0.4, 1)), -1)
        outline = np.rint(_point(rng, side) + around).astype(np.int32)
        cv2.fillPoly(canvas, [outline], _colour(rng), cv2.LINE_AA)
        if rng.random() < 0.5:
            cv2.polylines(canvas, [outline], True, _colour(rng), int(rng.integers(2, 5 * FINER)), cv2.LINE_AA)


def _lettering(rng: np.random.Generator, canvas: np.ndarray) -> None:
    """Lines of letters and figures, a caption's size down to a footnote's."""
    side = len(canvas)
    for _ in range(rng.integers(1, 4)):
        font, colour, scale = int(rng.choice(FONTS)), _colour(rng), FINER * rng.uniform(0.35, 2)
        weight, x, y = int(rng.integers(1, 3) * scale + 1), *_point(rng, side)
        for _ in range(rng.integers(1, 8)):
            letters = rng.choice(list(string.ascii_letters + string.digits + " .,-:;()"), rng.integers(6, 50))
            place = int(x - side * 0.3), y
            cv2.putText(canvas, "".join(letters), place, font, scale, colour, weight, cv2.LINE_AA)
            y += int(34 * scale)


def _lines(rng: np.random.Generator, canvas: np.ndarray) -> None:
    """Straight and curved lines."""
    side = len(canvas)
    for _ in range(rng.integers(5, 30)):
        points = np.array([_point(rng, side) for _ in range(3)], np.float64)
        t = np.linspace(0, 1, 2 if rng.random() < 0.5 else 40)[:, None]
        curve = (1 - t) ** 2 * points[0] + 2 * t * (1 - t) * points[1] + t**2 * points[2]
        weight = int(rng.integers(1, 4 * FINER))
        cv2.polylines(canvas, [np.rint(curve).astype(np.int32)], False, _colour(rng), weight, cv2.LINE_AA)


def _hatching(rng: np.random.Generator, canvas: np.ndarray) -> None:
    """Parallel lines in a window: rulings, blinds, fine grids."""
    (left, top), (right, bottom) = np.sort([_point(rng, len(canvas)) for _ in range(2)], 0).tolist()
    step, angle, colour = rng.uniform(2, 14) * FINER, rng.uniform(0, np.pi), _colour(rng)
    window = canvas[top : bottom + 1, left : right + 1]
    rows, columns = np.indices(window.shape[:2], np.float32)
    phase = (np.cos(angle) * columns + np.sin(angle) * rows) % step
    window[phase < step * rng.uniform(0.15, 0.6)] = colour


def _checks(rng: np.random.Generator, canvas: np.ndarray) -> None:
    """A chequered window, as test charts have."""
    (left, top), (right, bottom) = np.sort([_point(rng, len(canvas)) for _ in range(2)], 0).tolist()
    cell = int(rng.integers(3, 40) * FINER)
    window = canvas[top : bottom + 1, left : right + 1]
    rows, columns = np.indices(window.shape[:2]) // cell
    window[(rows + columns) % 2 == 0] = _colour(rng)


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="folder for the pictures")
    parser.add_argument("--count", type=int, default=250, help="pictures or clips")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--frames", type=int, help=f"make clips of so many frames, {MOST} at most")
    options = parser.parse_args()
    if options.frames is not None and not 1 <= options.frames <= MOST:
        parser.error(f"--frames {options.frames}: 1 to {MOST}, the window would leave the picture")
    rng = np.random.default_rng(options.seed)
    for number in range(options.count):
        picture, name = draw(rng), f"drawing{number:04}"
        if options.frames is None:
            _write(options.out / f"{name}.png", picture)
            continue
        for index, frame in enumerate(filmed(picture, number % (FASTEST + 1), options.frames)):
            _write(options.out / name / f"{index:03}.png", frame)
    return 0


def _write(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    coded, png = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    if not coded:
        raise SystemExit(f"{path}: OpenCV cannot encode PNG")
    path.write_bytes(png.tobytes())


if __name__ == "__main__":
    sys.exit(main())
