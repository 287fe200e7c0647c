"""How fast a tool is: all tools in turn, several rounds, so that a busy moment hits none of them alone."""

from __future__ import annotations

import logging
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from yardstick.process import Usage, measure
from yardstick.search import Setting
from yardstick.speed_clip import SpeedClip
from yardstick.tool import DenoiseRun, Tool

__all__ = ["Measured", "Speed", "Spread", "measure_speed"]

log = logging.getLogger(__name__)

FEWEST = 6  # frames of a run, however slow the tool


@dataclass(frozen=True)
class Spread:
    """Median and range of several measurements."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of at least one value."""
        return cls(statistics.median(values), min(values), max(values))


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
