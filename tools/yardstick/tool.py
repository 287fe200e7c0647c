"""What the comparison asks of every tool."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from yardstick.process import Usage
from yardstick.raw_video import RawVideo
from yardstick.search import Knob, Setting

__all__ = ["DenoiseRun", "Tool"]


@dataclass(frozen=True)
class DenoiseRun:
    """One run over raw frames.

    Attributes:
        fps: frames per second of the denoiser alone: no start-up, no reading, no writing.
        convert_fps: the same with conversion to RGB and back, for a tool that needs it.
        usage: of the whole process.
        frame_seconds: of each frame but the first, where the tool can tell.
    """

    fps: float
    convert_fps: float
    usage: Usage
    frame_seconds: tuple[float, ...] = ()


class Tool(Protocol):
    """A denoiser, run as a process of its own."""

    @property
    def name(self) -> str:
        """What the table calls it."""
        ...

    @property
    def knobs(self) -> tuple[Knob, ...]:
        """What is tuned; empty for a tool that sets itself."""
        ...

    @property
    def frame_limit(self) -> int | None:
        """Most frames per clip that a run may take without lasting for ever; None: any number."""
        ...

    def denoise(self, noisy: RawVideo, output: Path | None, setting: Setting) -> DenoiseRun:
        """Denoise raw frames into a raw file; None: into nothing, for timing that no disk disturbs."""
        ...

    def transcode_command(self, source: Path, output: Path, setting: Setting) -> list[str] | None:
        """The command line that a user would type to clean a video file; None where there is none."""
        ...

    def label(self, setting: Setting) -> str:
        """The setting, as it would be typed."""
        ...
