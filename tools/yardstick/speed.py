"""How fast tools are, alone and beside busy neighbours: all in turn, in several rounds, so that none is hit alone."""

from __future__ import annotations

import contextlib
import json
import logging
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from malle_rt.measuring import OtherLoad, Spread
from malle_rt.pipeline import nearest_rank
from yardstick.peers import WORKER
from yardstick.process import FFMPEG, Usage, measure
from yardstick.raw import RawVideo
from yardstick.tool import DenoiseRun, Setting, Tool

__all__ = [
    "FrameTimes",
    "Measured",
    "Overlap",
    "Speed",
    "SpeedClip",
    "TimesFrames",
    "measure_busy",
    "measure_overlap",
    "measure_speed",
    "spinning",
]

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


log = logging.getLogger(__name__)

FEWEST = 6  # frames of a run, however slow the tool


@dataclass(frozen=True)
class Measured:
    """One kind of run, over all rounds.

    Attributes:
        fps: frames per second.
        peak_mib: most memory the process ever had resident, median of the rounds.
        cores: CPU time over wall-clock time, median of the rounds.
        frames: of each run.
    """

    fps: Spread
    peak_mib: float
    cores: float
    frames: int


@dataclass(frozen=True)
class Speed:
    """What a tool takes.

    Attributes:
        denoise: raw frames to nothing; fps is of the denoiser alone, see ``DenoiseRun``.
        convert_fps: the same with conversion to RGB and back.
        transcode: H.264 file to H.264 file; fps includes the start of the program. None without a program.
    """

    denoise: Measured
    convert_fps: Spread
    transcode: Measured | None


def measure_speed(
    tools: Mapping[Tool, Setting], clip: SpeedClip, *, rounds: int, seconds: float
) -> dict[str, Speed]:
    """Measure every tool, in every round, on as many frames as it does in about ``seconds``; by the tools' names."""
    lengths = {tool: _length(tool, setting, clip, seconds) for tool, setting in tools.items()}
    denoised: dict[Tool, list[DenoiseRun]] = {tool: [] for tool in tools}
    transcoded: dict[Tool, list[Usage]] = {tool: [] for tool in tools}
    for number in range(1, rounds + 1):
        for tool, setting in tools.items():
            denoised[tool].append(tool.denoise(clip.raw(lengths[tool]), None, setting))
            command = tool.transcode_command(clip.h264(lengths[tool]), clip.transcoded, setting)
            if command is not None:
                transcoded[tool].append(measure(command))
            log.info("  round %d: %s, %.1f fps", number, tool.name, denoised[tool][-1].fps)
    return {tool.name: _speed(denoised[tool], transcoded[tool], lengths[tool]) for tool in tools}


def _length(tool: Tool, setting: Setting, clip: SpeedClip, seconds: float) -> int:
    trial = tool.denoise(clip.raw(FEWEST), None, setting)
    return min(max(round(trial.fps * seconds), FEWEST), clip.longest)


def _speed(denoised: Sequence[DenoiseRun], transcoded: Sequence[Usage], frames: int) -> Speed:
    return Speed(
        denoise=_measured([run.fps for run in denoised], [run.usage for run in denoised], frames),
        convert_fps=Spread.of([run.convert_fps for run in denoised]),
        transcode=_measured([frames / usage.seconds for usage in transcoded], transcoded, frames)
        if transcoded
        else None,
    )


def _measured(fps: Sequence[float], usages: Sequence[Usage], frames: int) -> Measured:
    return Measured(
        fps=Spread.of(fps),
        peak_mib=statistics.median(usage.peak_mib for usage in usages),
        cores=statistics.median(usage.cpu_seconds / usage.seconds for usage in usages),
        frames=frames,
    )


@dataclass(frozen=True)
class Overlap:
    """One transcode, through the API.

    Attributes:
        fps: frames per second from the first read to the finished file; the program's start is not in it.
        seconds: the time that is.
        busy: seconds each stage worked; their sum over ``seconds`` is how many worked at once, on average.
        cores: CPU time over wall-clock time of the whole process.
    """

    fps: float
    seconds: float
    busy: dict[str, float]
    cores: float

    @property
    def at_once(self) -> float:
        """Stages at work at the same time, on average; 1 is a tool that does one thing after the other."""
        return sum(self.busy.values()) / self.seconds


def measure_overlap(source: Path, output: Path, model: str, strength: str, backend: str) -> Overlap:
    """Transcode in a process of its own."""
    usage = measure(
        [sys.executable, str(WORKER), "transcode", str(source), str(output), model, strength, backend]
    )
    report = json.loads(usage.stdout)
    return Overlap(report["fps"], report["seconds"], report["busy"], usage.cpu_seconds / usage.seconds)


UNSTEADY = 5  # first frames, not counted: a program starts


@dataclass(frozen=True)
class FrameTimes:
    """Times of single frames beside neighbours.

    Attributes:
        neighbours: processes that spin.
        median_ms, p95_ms: medians over the rounds.
        frames: of each round.
        other_cores: that all other programs used meanwhile, neighbours included; None if unknown.
    """

    neighbours: int
    median_ms: float
    p95_ms: float
    frames: int
    other_cores: float | None


@runtime_checkable
class TimesFrames(Protocol):
    """A tool that can tell what single frames take."""

    def frame_seconds(self, noisy: RawVideo, setting: Setting) -> list[float]:
        """Seconds of each frame but the first."""
        ...


def measure_busy(
    tools: Mapping[Tool, Setting], noisy: RawVideo, neighbours: Sequence[int], rounds: int
) -> dict[str, list[FrameTimes]]:
    """Measure every tool that can tell, beside each number of neighbours; all take turns in every round."""
    able = {tool: setting for tool, setting in tools.items() if isinstance(tool, TimesFrames)}
    seen: dict[tuple[str, int], list[tuple[float, float, float | None, int]]] = {}
    for _ in range(rounds):
        for count in neighbours:
            for tool, setting in able.items():
                others = OtherLoad()
                with spinning(count):
                    times = tool.frame_seconds(noisy, setting)[UNSTEADY - 1 :]
                    cores = others.cores()
                median, p95 = (nearest_rank(sorted(times), share) * 1000 for share in (50, 95))
                log.info("  %d neighbours: %s, %.1f ms, p95 %.1f ms", count, tool.name, median, p95)
                seen.setdefault((tool.name, count), []).append((median, p95, cores, len(times)))
    return {tool.name: [_times(count, seen[tool.name, count]) for count in neighbours] for tool in able}


def _times(count: int, seen: Sequence[tuple[float, float, float | None, int]]) -> FrameTimes:
    medians, p95s, cores, frames = zip(*seen, strict=True)
    known = [value for value in cores if value is not None]
    others = statistics.median(known) if known else None
    return FrameTimes(count, statistics.median(medians), statistics.median(p95s), frames[0], others)


@contextlib.contextmanager
def spinning(count: int) -> Iterator[None]:
    """That many processes spin meanwhile; they end with this one, however it ends."""
    # The pipe to their stdin closes with this process.
    code = (
        "import os, sys, threading\n"
        "threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0))).start()\n"
        "while True: pass"
    )
    processes = [
        subprocess.Popen([sys.executable, "-I", "-S", "-c", code], stdin=subprocess.PIPE)
        for _ in range(count)
    ]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.communicate()
