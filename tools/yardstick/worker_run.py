"""Start ``worker.py`` and read what it reports."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from yardstick.process import measure
from yardstick.raw_video import RawVideo
from yardstick.tool import DenoiseRun

__all__ = ["WORKER", "run_worker"]

WORKER = Path(__file__).with_name("worker.py")
PROGRAM = (sys.executable, str(WORKER))


def run_worker(
    denoiser: str, noisy: RawVideo, output: Path | None, *options: str, program: tuple[str, str] = PROGRAM
) -> DenoiseRun:
    """Denoise raw frames in a Python process of its own.

    Args:
        denoiser: "ours" or "opencv", or what another program knows.
        noisy: at least two frames, since the first is not timed.
        output: path of the raw result; None: it is thrown away.
        options: what the denoiser takes.
        program: an interpreter and its worker.
    """
    width, height = noisy.size
    files = [str(noisy.path), str(output or os.devnull), str(width), str(height)]
    usage = measure([*program, denoiser, *files, *options])
    times = json.loads(usage.stdout)
    return DenoiseRun(
        fps=times["frames"] / times["denoise"],
        convert_fps=times["frames"] / (times["denoise"] + times["convert"]),
        usage=usage,
        frame_seconds=tuple(times.get("seconds", ())),
    )
