"""Measure one backend on one clip, in this process: a file, single frames, and frames in flight."""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from malle_rt.backends.base import Backend, BackendInfo, FrameShape, Planes420
from malle_rt.bench.clip import SIGMA, Clip, ClipSource, Luma
from malle_rt.bench.proof import Proof, prove
from malle_rt.bench.sensors import Reading, Sensors
from malle_rt.bench.spans import Account, Spans
from malle_rt.bench.usage import CpuUse, peak_mib
from malle_rt.bench.watching import (
    WatchedBackend,
    WatchedDenoiser,
    WatchedSink,
    WatchedSource,
    device_milliseconds,
)
from malle_rt.config import DenoiseConfig
from malle_rt.denoiser import FrameDenoiser
from malle_rt.frame import Frame, Packet
from malle_rt.media.file_sink import FileSink
from malle_rt.media.file_source import FileSource
from malle_rt.pipeline import Pipeline

__all__ = ["Measurement", "measure"]

# Frames before anything is timed: the first compiles, torch chooses algorithms for a few more.
_WARM_UP, _WARM_UP_LIMIT = 4, 10
_WARM = 0.8  # a frame that takes this share of the one before or more: nothing is gained by further ones
_FEWEST = 3  # frames of one measurement, however slow
_SLOW = 0.7  # seconds per frame from which on a file is not measured: it would take minutes, and nobody transcodes so
_SHOWN = 8  # frames kept of a run to be judged
_DEVICE_FRAMES = 30


@dataclass(frozen=True)
class Measurement:
    """One repeat.

    Attributes:
        info: what ran, ``BackendInfo``'s fields.
        gain_db: see ``Proof``, over the first frames of the clip.
        problem: see ``Proof``, of these and of the last frames of each run.
        start_ms: from the opened backend to its first frame: compiling or loading, and the frame.
        network_ms: of the network alone, median.
        latency_ms: frame in to frame out, one at a time, each.
        stages_ms: what that is made of, medians: pack, network, unpack.
        pipeline_fps: frames in flight, from memory to memory.
        file_fps: file to file, from opening the input to the finished output.
        file: where its time went; None where ``file_fps`` is.
        peak_host_mib: of the process, up to the end of the file.
        cores: kept busy during the file, or during single frames where there was none.
        reading: of the sensors.
    """

    info: BackendInfo
    gain_db: float
    problem: str | None
    start_ms: float
    network_ms: float
    latency_ms: list[float]
    stages_ms: dict[str, float]
    pipeline_fps: float
    file_fps: float | None
    file: Account | None
    peak_host_mib: float | None
    cores: float
    reading: Reading


def measure(
    backend: Backend,
    clip: Clip,
    *,
    seconds: float,
    folder: Path,
    input_file: Path | None = None,
    gpu_before: Sequence[float] = (),
) -> Measurement:
    """Measure, and look at what came out.

    Args:
        backend: opened; closed at the end.
        clip: of the size wanted.
        seconds: about how long each of the three runs should take.
        folder: for the transcoded file.
        input_file: transcoded instead of the clip's own file; then only the other two runs are judged.
        gpu_before: what ``gpu_memory`` gave before the backend was opened.

    Raises:
        MalleError: the backend failed.
    """
    bench = _Bench(backend, clip, folder)
    try:
        return bench.run(seconds, input_file, gpu_before)
    finally:
        bench.close()


class _Bench:
    """One warm denoiser and the three runs on it."""

    def __init__(self, backend: Backend, clip: Clip, folder: Path) -> None:
        self._clip, self._output = clip, folder / "denoised.mkv"
        self._backend = WatchedBackend(backend)
        # A fixed strength: estimating it is the same work beside every network.
        self._denoiser = FrameDenoiser(self._backend, DenoiseConfig(strength=SIGMA))
        self._proofs: list[Proof] = []

    def run(self, seconds: float, input_file: Path | None, gpu_before: Sequence[float]) -> Measurement:
        info = self._backend.info
        sensors = Sensors(info.gpu, gpu_before)
        try:
            start_ms, frame_seconds = self._warm_up()
            frames = max(_FEWEST, round(seconds / frame_seconds))
            cpu, account, file_fps = CpuUse(), None, None
            if frame_seconds < _SLOW:
                account, file_fps = self._file(frames, input_file)
            file_cores, memory = cpu.cores(), peak_mib()
            cpu = CpuUse()
            latencies, stages = self._single_frames(frames)
            cores = file_cores if account else cpu.cores()
            pipeline_fps = self._in_flight(frames)
        finally:
            reading = sensors.stop()
        device = self._on_the_device()
        if device:
            network = statistics.median(device)
            rest = statistics.median(latencies) - stages["pack"] - network
            stages |= {"network": network, "unpack": max(0.0, rest)}
        problems = [proof.problem for proof in self._proofs if proof.problem]
        return Measurement(
            info=info,
            gain_db=self._proofs[0].gain_db,
            problem=problems[0] if problems else None,
            start_ms=start_ms,
            network_ms=stages["network"],
            latency_ms=latencies,
            stages_ms=stages,
            pipeline_fps=pipeline_fps,
            file_fps=file_fps,
            file=account,
            peak_host_mib=memory,
            cores=cores,
            reading=reading,
        )

    def close(self) -> None:
        """Release session and backend."""
        self._denoiser.close()
        self._output.unlink(missing_ok=True)

    def _warm_up(self) -> tuple[float, float]:
        """Milliseconds of the first frame, seconds of the last; the first few are judged.

        They are the same frames in every run, from the start of a video: only such gains compare.
        """
        taken: list[float] = []
        shown = {}
        while len(taken) < _WARM_UP or (taken[-1] < _WARM * taken[-2] and len(taken) < _WARM_UP_LIMIT):
            position = len(taken)
            begin = time.perf_counter()
            clean = self._denoiser.denoise(self._clip.noisy(position))
            taken.append(time.perf_counter() - begin)
            if position < _WARM_UP:
                shown[position] = _luma(clean)
        self._judge(shown)
        return taken[0] * 1e3, taken[-1]

    def _file(self, frames: int, input_file: Path | None) -> tuple[Account, float]:
        spans = Spans()
        begin = time.perf_counter()
        path = input_file or self._clip.file
        source = WatchedSource(lambda: FileSource(path, carry_other_streams=False), frames, spans)
        sink = WatchedSink(lambda: FileSink(self._output, source.info, overwrite=True), spans)
        report = Pipeline(source, WatchedDenoiser(self._denoiser, self._backend, spans), sink).run()
        wall = time.perf_counter() - begin
        if input_file is None:
            self._judge(_last_frames(self._output, report.frames_out))
        return spans.account(wall, report.frames_out), report.frames_out / wall

    def _single_frames(self, frames: int) -> tuple[list[float], dict[str, float]]:
        spans = Spans()
        watched = WatchedDenoiser(self._denoiser, self._backend, spans)
        latencies, shown = [], {}
        for position in range(frames):
            noisy = self._clip.noisy(position)
            begin = time.perf_counter()
            clean = watched.start(noisy)()
            latencies.append((time.perf_counter() - begin) * 1e3)
            if position >= frames - _SHOWN:
                shown[position] = _luma(clean)
        self._judge(shown)
        names = ("pack", "network", "unpack")
        stages = {name: statistics.median(spans.lengths(name) or [0.0]) * 1e3 for name in names}
        return latencies, stages

    def _in_flight(self, frames: int) -> float:
        source = ClipSource(self._clip, frames)
        sink = _KeepingSink(frames - _SHOWN)
        denoiser = WatchedDenoiser(self._denoiser, self._backend, Spans())
        report = Pipeline(source, denoiser, sink).run()
        self._judge(sink.shown)
        return report.fps

    def _on_the_device(self) -> list[float]:
        """Milliseconds of the network by the device's events, on a session of its own: it ends the video it is in."""
        frame = self._clip.noisy(0)
        if self._backend.info.gpu is None:
            return []
        session = self._backend.prepare(FrameShape(frame.width, frame.height))
        try:
            planes: Planes420 = (frame.planes[0], frame.planes[1], frame.planes[2])
            return device_milliseconds(session, planes, SIGMA, _DEVICE_FRAMES)
        finally:
            session.close()

    def _judge(self, shown: dict[int, Luma]) -> None:
        self._proofs.append(prove(shown, self._clip))


class _KeepingSink:
    """Keeps the luma of the frames from a position on.

    Attributes:
        shown: by position.
    """

    def __init__(self, begin: int) -> None:
        self.shown: dict[int, Luma] = {}
        self._begin = begin

    def write(self, item: Frame | Packet) -> None:
        if isinstance(item, Frame) and item.pts >= self._begin:
            self.shown[item.pts] = _luma(item)

    def finish(self) -> None:
        """Nothing to finish."""

    def abort(self) -> None:
        """Nothing to give up."""


def _last_frames(path: Path, frames: int) -> dict[int, Luma]:
    """Luma of the last few frames of a file, by their number."""
    source = FileSource(path, carry_other_streams=False)
    try:
        kept = deque(
            enumerate(item for item in source if isinstance(item, Frame)), maxlen=min(_SHOWN, frames)
        )
    finally:
        source.close()
    return {number: _luma(frame) for number, frame in kept}


def _luma(frame: Frame) -> Luma:
    return frame.planes[0].astype("uint8", copy=False)
