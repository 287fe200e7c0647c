"""malle-rt as one of the tools."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from yardstick.raw_video import RawVideo
from yardstick.search import Knob, Setting
from yardstick.tool import DenoiseRun
from yardstick.worker_run import run_worker

__all__ = ["MalleRt"]

# Strength is the noise of luma: white RGB noise of sigma 1 has 0.65 in BT.709 luma of limited range.
STRENGTH = Knob("strength", 0.65, 0.5, 75)


@dataclass(frozen=True)
class MalleRt:
    """malle-rt, through its API and its program.

    Attributes:
        model: the network.
        strength: as ``--strength``; None: tuned, as the peers are.
        backend: as ``--backend``.
    """

    name: str
    model: str
    strength: str | None
    frame_limit: int | None = None
    backend: str = "auto"

    @property
    def knobs(self) -> tuple[Knob, ...]:
        """The strength, if it is to be tuned."""
        return () if self.strength else (STRENGTH,)

    def label(self, setting: Setting) -> str:
        """The option."""
        return f"--strength {self._strength(setting)}"

    def denoise(self, noisy: RawVideo, output: Path | None, setting: Setting) -> DenoiseRun:
        """Timed inside the process, around the calls of the API."""
        return run_worker("ours", noisy, output, self._strength(setting), self.model, self.backend)

    def frame_seconds(self, noisy: RawVideo, setting: Setting) -> list[float]:
        """From a frame's start to its end, one after the other."""
        return list(self.denoise(noisy, None, setting).frame_seconds)

    def transcode_command(self, source: Path, output: Path, setting: Setting) -> list[str]:
        """The main job."""
        program = [
            sys.executable,
            "-m",
            "malle_rt",
            "transcode",
            str(source),
            str(output),
            "--overwrite",
            "-q",
        ]
        return [
            *program,
            "--model",
            self.model,
            "--strength",
            self._strength(setting),
            "--backend",
            self.backend,
        ]

    def _strength(self, setting: Setting) -> str:
        return self.strength or f"{setting[0]:g}"
