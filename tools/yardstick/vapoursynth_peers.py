"""Filters of VapourSynth, which people who restore video use; they live in a Python environment of their own.

python3.12 -m venv vs && vs/bin/pip install vapoursynth vapoursynth-bm3d vapoursynth-nlm-ispc
    vs/bin/pip install vapoursynth-mvutensils numpy
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from yardstick.raw_video import RawVideo
from yardstick.search import Knob, Setting
from yardstick.tool import DenoiseRun, Tool
from yardstick.worker_run import run_worker

__all__ = ["VAPOURSYNTH", "VapourSynth", "vapoursynth_peers", "vapoursynth_reason"]

WORKER = Path(__file__).with_name("vapoursynth_worker.py")


@dataclass(frozen=True)
class VapourSynth:
    """A filter of ``vapoursynth_worker``, with a strength for luma and one for chroma.

    Attributes:
        option: what the filter calls its strength.
        python: the interpreter that has VapourSynth.
    """

    name: str
    option: str
    knobs: tuple[Knob, ...]
    python: str
    frame_limit: int | None = None

    def label(self, setting: Setting) -> str:
        """Luma's strength and chroma's."""
        luma, chroma = setting
        return f"{self.name} {self.option}={luma:g},{chroma:g}"

    def denoise(self, noisy: RawVideo, output: Path | None, setting: Setting) -> DenoiseRun:
        """Timed inside the process, all frames."""
        strengths = [f"{value:g}" for value in setting]
        return run_worker(self.name, noisy, output, *strengths, program=(self.python, str(WORKER)))

    def transcode_command(self, source: Path, output: Path, setting: Setting) -> None:
        """It needs a source filter and a pipe to an encoder: no single program."""


# Where the search begins is what white noise wants; chroma of 4:2:0 has about a third of it.
VAPOURSYNTH = {
    "vbm3d": ("sigma", Knob("sigma", 0.8, 0.1, 250), Knob("sigma chroma", 0.5, 0.1, 250, judge=1)),
    "nlm-ispc": ("h", Knob("h", 1.2, 0.1, 250), Knob("h chroma", 0.8, 0.1, 250, judge=1)),
    "mvdegrain3": ("thsad", Knob("thsad", 32, 10, 16320), Knob("thsad chroma", 32, 10, 16320, judge=1)),
}


def vapoursynth_peers(python: Path) -> dict[str, Tool]:
    """The filters, by name, as that interpreter runs them."""
    return {
        name: VapourSynth(name, option, knobs, str(python))
        for name, (option, *given) in VAPOURSYNTH.items()
        for knobs in [tuple(given)]
    }


def vapoursynth_reason(python: Path) -> str | None:
    """Why that interpreter cannot run them; None if it can."""
    try:
        done = subprocess.run(
            [python, WORKER, "--check"], capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        return str(exc)
    return (done.stderr.strip().splitlines() or ["it failed"])[-1] if done.returncode else None
