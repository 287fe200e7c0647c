"""A filter by the ffmpeg program: for those that the FFmpeg inside PyAV is built without, since they are GPL."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from malle_rt.errors import BackendError, BackendUnavailable

__all__ = ["ProgramFilter"]

Picture = npt.NDArray[np.uint8]
"""(H * 3 // 2, W): Y, then U and V."""


class ProgramFilter:
    """One filter on one set of frames.

    Args:
        graph: the filter with its options, as ffmpeg's ``-vf`` takes it.
        pictures: yuv420p, all of one size.
        folder: for a file of them.

    Raises:
        BackendUnavailable: there is no ffmpeg program here.
    """

    def __init__(self, graph: str, pictures: Iterable[Picture], folder: Path) -> None:
        program = shutil.which("ffmpeg")
        if program is None:
            raise BackendUnavailable(
                f"{graph.partition('=')[0]} is not in PyAV's FFmpeg and there is no ffmpeg program: install ffmpeg"
            )
        self._graph, self._pictures = graph, list(pictures)
        file = folder / "pictures.yuv"
        file.write_bytes(b"".join(picture.tobytes() for picture in self._pictures))
        rows, columns = self._pictures[0].shape
        raw = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{columns}x{rows * 2 // 3}", "-r", "30"]
        self._command = [program, "-nostdin", "-hide_banner", "-loglevel", "error"]
        self._input = [*raw, "-i", str(file)]

    def output(self) -> list[Picture]:
        """The frames, filtered."""
        data = self._run("0", self._graph, ["-f", "rawvideo", "-"])
        return list(np.frombuffer(data, np.uint8).reshape(-1, *self._pictures[0].shape))

    def fps(self, loops: int) -> float:
        """Frames per second over ``loops`` more rounds of the frames, less what ffmpeg takes without the filter."""
        times = []
        for graph in ("null", self._graph):
            begin = time.perf_counter()
            self._run(str(loops), graph, ["-f", "null", "-"])
            times.append(time.perf_counter() - begin)
        return len(self._pictures) * (loops + 1) / max(times[1] - times[0], 1e-3)

    def _run(self, loops: str, graph: str, target: Sequence[str]) -> bytes:
        command = [*self._command, "-stream_loop", loops, *self._input, "-vf", graph, *target]
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode:
            raise BackendError(f"ffmpeg -vf {graph} failed: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout
