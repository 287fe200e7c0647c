"""Power and temperature, where the machine tells: RAPL, Jetson's and other boards' hwmon, nvidia-smi. Never guessed."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Reading", "Sensors", "gpu_memory", "parse_smi"]

_QUERY = "power.draw,temperature.gpu,memory.used"
_EVERY = 200  # milliseconds between two readings of nvidia-smi
# Zones and chips that stand for the processor; others tell of the battery, the disk or the radio.
_PROCESSOR_ZONES = ("x86_pkg_temp", "cpu-thermal", "cpu_thermal", "CPU-therm", "soc-thermal")
_RAILS = ("VDD_IN", "POM_5V_IN", "VIN_SYS_5V0")  # what a Jetson calls the board's whole input


@dataclass(frozen=True)
class Reading:
    """What the sensors said over a while; None where there is none.

    Attributes:
        watts: mean power of the processor package (RAPL), or of the whole board (Jetson).
        celsius: temperature of the processor at the end.
        gpu_watts, gpu_celsius: mean power and last temperature of the GPU.
        gpu_mib: most memory in use on the GPU, beyond what was in use before.
    """

    watts: float | None = None
    celsius: float | None = None
    gpu_watts: float | None = None
    gpu_celsius: float | None = None
    gpu_mib: float | None = None


class Sensors:
    """Reads from construction to ``stop``.

    Args:
        gpu: number of the NVIDIA GPU in use; None for none.
        before: what ``gpu_memory`` gave before the backend was opened.
        root: of the file system, for tests.
    """

    def __init__(self, gpu: int | None = None, before: Sequence[float] = (), root: Path = Path("/")) -> None:
        self._root = root
        self._before = before[gpu] if gpu is not None and gpu < len(before) else None
        self._started = time.perf_counter()
        self._joules = _package_joules(root)
        self._smi = _start_smi(gpu)

    def stop(self) -> Reading:
        """What they said; ends the reading."""
        seconds = time.perf_counter() - self._started
        joules = _package_joules(self._root)
        watts = _board_watts(self._root)
        if self._joules is not None and joules is not None and joules >= self._joules:  # the counter wraps
            watts = (joules - self._joules) / seconds
        power, heat, memory = self._smi_columns()
        return Reading(
            watts=watts,
            celsius=_celsius(self._root),
            gpu_watts=statistics.mean(power) if power else None,
            gpu_celsius=heat[-1] if heat else None,
            gpu_mib=max(memory) - self._before if memory and self._before is not None else None,
        )

    def _smi_columns(self) -> tuple[list[float], ...]:
        if self._smi is None:
            return [], [], []
        self._smi.terminate()
        output, _ = self._smi.communicate()
        self._smi = None
        return parse_smi(output.splitlines())


def gpu_memory() -> list[float]:
    """MiB in use on each NVIDIA GPU, by its number; empty where nvidia-smi does not tell."""
    smi = shutil.which("nvidia-smi")
    if smi is None:
        return []
    command = [smi, "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        return [float(line) for line in done.stdout.splitlines()]
    except ValueError:  # "[N/A]", as a Jetson says
        return []


def parse_smi(lines: Sequence[str]) -> tuple[list[float], ...]:
    """Columns of nvidia-smi's CSV; what a GPU does not tell ("[N/A]"), and a cut last line, are left out."""
    columns: tuple[list[float], ...] = ([], [], [])
    for line in lines:
        words = line.split(",")
        for column, word in zip(columns, words, strict=False):
            try:
                column.append(float(word))
            except ValueError:
                continue
    return columns


def _start_smi(gpu: int | None) -> subprocess.Popen[str] | None:
    smi = shutil.which("nvidia-smi")
    if gpu is None or smi is None:
        return None
    command = [
        smi,
        f"--id={gpu}",
        f"--query-gpu={_QUERY}",
        "--format=csv,noheader,nounits",
        f"--loop-ms={_EVERY}",
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def _package_joules(root: Path) -> float | None:
    """Energy counters of all processor packages; reading them may need root's rights."""
    joules = [
        value / 1e6
        for zone in root.glob("sys/class/powercap/intel-rapl:*")
        if zone.name.count(":") == 1 and (value := _number(zone / "energy_uj")) is not None
    ]
    return sum(joules) if joules else None


def _board_watts(root: Path) -> float | None:
    """Voltage times current of a Jetson's input, now."""
    for chip in root.glob("sys/class/hwmon/hwmon*"):
        for label in sorted(chip.glob("in*_label")):
            if _text(label) in _RAILS:
                number = label.name.removeprefix("in").removesuffix("_label")
                millivolts, milliamperes = (
                    _number(chip / f"{kind}{number}_input") for kind in ("in", "curr")
                )
                if millivolts is not None and milliamperes is not None:
                    return millivolts * milliamperes / 1e6
    return None


def _celsius(root: Path) -> float | None:
    return max(_processor_temperatures(root), default=None)


def _processor_temperatures(root: Path) -> Iterator[float]:
    for zone in root.glob("sys/class/thermal/thermal_zone*"):
        if _text(zone / "type") in _PROCESSOR_ZONES and (value := _number(zone / "temp")) is not None:
            yield value / 1e3


def _number(path: Path) -> float | None:
    text = _text(path)
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
