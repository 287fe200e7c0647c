"""The benchmark's own noisy clip: drawn and seeded, so that every machine and every run denoises the same frames."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt

from malle_rt.bench.plan import Size
from malle_rt.frame import ColorTags, Frame, VideoInfo
from malle_rt.media.encode_config import EncodeConfig
from malle_rt.media.file_sink import FileSink
from malle_rt.media.synthetic import INDEX_ROWS, SyntheticSource

__all__ = ["SIGMA", "Clip", "ClipSource", "Luma", "judged", "write_clip"]

SIGMA = 15.0  # of the noise on every plane, 8-bit scale
_RATE = Fraction(30)
_SEED = 20
# Drawing costs far more than playing: few frames are drawn, and played forwards and backwards.
_DRAWN_PIXELS, _FEWEST, _MOST = 14_000_000, 6, 16
# The file is long enough for a second or two of a fast machine, and made in about as much.
_FILE_PIXELS, _SHORTEST, _LONGEST = 60_000_000, 24, 240
# What a camera would have recorded: noise survives this quality.
_CAMERA = EncodeConfig(crf=12, preset="superfast")

Luma = npt.NDArray[np.uint8]


class Clip:
    """A clip in memory, read from where ``write_clip`` left it.

    The picture moves by some pixels from frame to frame, so that a frame at the wrong place is seen to be wrong.
    """

    def __init__(self, folder: Path) -> None:
        self.file = folder / "noisy.mkv"
        self._planes = [np.load(folder / f"{name}.npy", mmap_mode="r") for name in "yuv"]
        self._clean = np.load(folder / "clean.npy", mmap_mode="r")
        self._drawn = len(self._clean)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        rows, columns = self._clean.shape[1:]
        return columns, rows

    def noisy(self, position: int) -> Frame:
        """The frame at a position, 0 or later; the clip has no end."""
        index = self._index(position)
        planes = tuple(np.asarray(plane[index]) for plane in self._planes)
        return Frame(planes, "yuv420p", position, 1 / _RATE, 1, ColorTags(1, 1, 1, 1))

    def noisy_luma(self, position: int) -> Luma:
        """Luma of that frame."""
        return np.asarray(self._planes[0][self._index(position)])

    def clean(self, position: int) -> Luma:
        """Luma of the same frame without noise."""
        return np.asarray(self._clean[self._index(position)])

    def _index(self, position: int) -> int:
        there_and_back = 2 * (self._drawn - 1)
        return abs((position + self._drawn - 1) % there_and_back - (self._drawn - 1))


class ClipSource:
    """Frames of a clip as a source, from memory.

    Args:
        clip: where they come from.
        frames: how many.
        begin: position of the first.
    """

    def __init__(self, clip: Clip, frames: int, begin: int = 0) -> None:
        self._clip, self._positions = clip, range(begin, begin + frames)
        width, height = clip.size
        self.info = VideoInfo(width, height, "yuv420p", 1 / _RATE, frame_rate=_RATE, frames=frames)

    def __iter__(self) -> Iterator[Frame]:
        return map(self._clip.noisy, self._positions)

    def interrupt(self) -> None:
        """Nothing here waits for data."""

    def close(self) -> None:
        """Nothing to release."""


def write_clip(size: Size, folder: Path) -> Clip:
    """Draw the clip and make its H.264 file in a folder of its own."""
    pixels = size.width * size.height
    drawn = min(max(_DRAWN_PIXELS // pixels, _FEWEST), _MOST)
    source = SyntheticSource(drawn, (size.width, size.height), _RATE, noise_sigma=SIGMA, seed=_SEED)
    frames = list(source)
    clean = np.stack([source.clean(index).planes[0] for index in range(drawn)])
    for number, name in enumerate("yuv"):
        np.save(folder / f"{name}.npy", np.stack([frame.planes[number] for frame in frames]))
    np.save(folder / "clean.npy", cast(Luma, clean))
    clip = Clip(folder)
    source_of_file = ClipSource(clip, min(max(_FILE_PIXELS // pixels, _SHORTEST), _LONGEST))
    sink = FileSink(clip.file, source_of_file.info, _CAMERA)
    for frame in source_of_file:
        sink.write(frame)
    sink.finish()
    return clip


def judged(luma: Luma) -> Luma:
    """The part of a luma plane that carries noise: all but the rows of the index."""
    return luma[INDEX_ROWS:]
