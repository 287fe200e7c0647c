"""File to file on the GPU: ``Transcode`` as users run it, and where the time goes."""

from __future__ import annotations

import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from gpubench.sessions import noisy_planes
from malle_rt import DenoiseConfig, EncodeConfig, Transcode
from malle_rt.backends.base import Planes420

__all__ = ["measure"]


def measure(backend: str, sizes: dict[str, tuple[int, int]], *, frames: int) -> list[dict[str, Any]]:
    """A row for each size: frames per second of the whole job, seconds each stage worked, overlap of the stages."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for size, (width, height) in sizes.items():
            source = Path(folder) / f"{size}.mp4"
            _write(source, width, height, frames)
            config = DenoiseConfig(backend=backend, strength=15)
            encode = EncodeConfig(codec="libx264", preset="ultrafast", crf=23)
            target = source.with_suffix(".clean.mp4")
            with Transcode(source, target, config=config, encode=encode) as job:
                report = job.run().pipeline
            rows.append(
                {
                    "size": size,
                    "backend": job.backend,
                    "frames": report.frames_out,
                    "fps": round(report.fps, 1),
                    "busy_s": {stage: round(seconds, 2) for stage, seconds in report.busy.items()},
                    "overlap": round(sum(report.busy.values()) / report.seconds, 2),
                }
            )
    return rows


def _write(path: Path, width: int, height: int, frames: int) -> None:
    """A noisy H.264 clip of 25 frames per second."""
    _, clip = noisy_planes(width, height)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "crf": "18"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(_stacked(clip[index % len(clip)]), format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _stacked(planes: Planes420) -> np.ndarray:
    """Y, U, V below each other, (rows * 3 / 2, columns), as PyAV takes yuv420p."""
    y, u, v = planes
    return np.concatenate([y, u.reshape(-1, y.shape[1]), v.reshape(-1, y.shape[1])])
