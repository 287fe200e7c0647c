"""Raw yuv420p in a file: what every tool reads and writes, so that nothing is lost on the way."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

__all__ = ["FRAME_RATE", "RawVideo"]

FRAME_RATE = 25  # of all clips: no tool here looks at the time between frames


@dataclass(frozen=True)
class RawVideo:
    """A file of raw 8-bit yuv420p frames.

    Attributes:
        path: of the file.
        size: (width, height), both even.
        frames: how many.
    """

    path: Path
    size: tuple[int, int]
    frames: int

    @classmethod
    def write(cls, path: Path, pictures: npt.NDArray[np.uint8]) -> RawVideo:
        """Write (T, H * 3 // 2, W)."""
        pictures.tofile(path)
        frames, rows, width = pictures.shape
        return cls(path, (width, rows * 2 // 3), frames)

    def read(self) -> npt.NDArray[np.uint8]:
        """(T, H * 3 // 2, W).

        Raises:
            ValueError: the file does not hold the frames it should: a tool dropped or repeated some.
        """
        width, height = self.size
        samples = np.fromfile(self.path, np.uint8)
        if samples.size != self.frames * width * height * 3 // 2:
            got = samples.size / (width * height * 3 // 2)
            raise ValueError(f"{self.path}: expected {self.frames} frames, got {got:g}")
        return samples.reshape(self.frames, height * 3 // 2, width)

    def input_options(self) -> list[str]:
        """How to tell ffmpeg what it reads."""
        width, height = self.size
        form = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-video_size", f"{width}x{height}"]
        return [*form, "-framerate", str(FRAME_RATE), "-i", str(self.path)]
