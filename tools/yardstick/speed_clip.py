"""The noisy clip that speed is measured on, at any length, raw and as an H.264 file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from yardstick.peers import FFMPEG
from yardstick.process import measure
from yardstick.raw_video import RawVideo

__all__ = ["SpeedClip"]

# What a camera would have recorded: noise survives this quality.
CAMERA = ("-c:v", "libx264", "-crf", "16", "-preset", "veryfast")


@dataclass(frozen=True, eq=False)
class SpeedClip:
    """A noisy clip that plays forwards and backwards for as long as wanted.

    Attributes:
        noisy: (T, H * 3 // 2, W).
        folder: where its files are made.
        longest: most frames it should have.
    """

    noisy: npt.NDArray[np.uint8]
    folder: Path
    longest: int

    @property
    def transcoded(self) -> Path:
        """Where tools leave a video file."""
        return self.folder / "denoised.mp4"

    def raw(self, frames: int) -> RawVideo:
        """The first ``frames`` frames in a raw file; made once."""
        path = self.folder / f"speed-{frames}.yuv"
        height, width = self.noisy.shape[1] * 2 // 3, self.noisy.shape[2]
        if path.exists():
            return RawVideo(path, (width, height), frames)
        there_and_back = np.concatenate((np.arange(len(self.noisy)), np.arange(len(self.noisy))[::-1]))
        return RawVideo.write(path, self.noisy[np.resize(there_and_back, frames)])

    def h264(self, frames: int) -> Path:
        """The same frames as a camera's file; made once."""
        path = self.folder / f"speed-{frames}.mp4"
        if not path.exists():
            measure([*FFMPEG, *self.raw(frames).input_options(), *CAMERA, str(path)])
        return path
