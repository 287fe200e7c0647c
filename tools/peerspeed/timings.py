"""Measured times: their file, a table for each runtime and size; the rounds they come from; how they are written."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from malle_rt.errors import ConfigError

__all__ = [
    "TITLES",
    "Row",
    "Table",
    "add_table",
    "interleaved",
    "number",
    "read_tables",
    "spread",
    "times_as_fast",
    "title",
]

TITLES = {
    "swinir": "SwinIR (colour denoising, medium size)",
    "drunet": "DRUNet colour",
    "fastdvdnet": "FastDVDnet (5 frames in, 1 out)",
    "dncnn": "DnCNN colour-blind",
    "ffdnet": "FFDNet colour",
}


def title(network: str) -> str:
    """What people call it; ours have their names in the program."""
    return TITLES.get(network, f"`{network}`")


def number(value: float) -> str:
    """Three digits that count, or all before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One network.

    Attributes:
        network: its name.
        precision: "fp32" or "int8".
        parameters: how many numbers it learns.
        kmac_per_pixel: thousands of multiply-adds per pixel of the picture.
        ms: milliseconds of a picture: median, lowest and highest round.
        times_as_fast: as the yardstick; the same three, of the ratios within each round.
    """

    network: str
    precision: str
    parameters: int
    kmac_per_pixel: float
    ms: dict[str, float]
    times_as_fast: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Table:
    """One run, in which all networks took turns.

    Attributes:
        runtime: with its version.
        machine: name of the CPU.
        threads: of it that the networks had.
        size: of the pictures, "WIDTHxHEIGHT".
        rounds: how many turns each network had.
        other_cores: that other programs kept busy meanwhile, on average; None where that cannot be told.
        yardstick: the network that others are compared with.
        rows: in the order of the run.
    """

    runtime: str
    machine: str
    threads: int
    size: str
    rounds: int
    other_cores: float | None
    yardstick: str
    rows: list[Row]


def read_tables(path: Path) -> list[Table]:
    """Tables of a file that ``add_table`` wrote.

    Raises:
        ConfigError: there is no such file, or it is another one.
    """
    try:
        found = json.loads(path.read_text())["tables"]
        return [Table(**{**table, "rows": [Row(**row) for row in table["rows"]]}) for table in found]
    except (OSError, ValueError, TypeError, KeyError) as exc:
        raise ConfigError(f"{path}: not measurements of peer_speed.py ({exc})") from exc


def add_table(path: Path, table: Table) -> None:
    """Write a table into the file, in the place of one with the same runtime and size; whole or not at all."""
    tables = read_tables(path) if path.exists() else []
    kept = [each for each in tables if (each.runtime, each.size) != (table.runtime, table.size)]
    text = json.dumps({"tables": [asdict(each) for each in [*kept, table]]}, indent=1)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text + "\n")
    partial.replace(path)


LEAST = 0.5  # seconds of a network's turn; at least one call


def interleaved(calls: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of a call by name, a value for each round; a first round that warms up is not counted."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            value = _turn(call)
            if number:
                found[name].append(value)
    return found


def _turn(call: Callable[[], object]) -> float:
    times: list[float] = []
    while not times or sum(times) < LEAST:
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return median(times) * 1e3


def spread(values: list[float]) -> dict[str, float]:
    """Median, lowest and highest, rounded to what a clock tells."""
    return {
        "median": round(median(values), 3),
        "low": round(min(values), 3),
        "high": round(max(values), 3),
    }


def times_as_fast(values: list[float], yardstick: list[float]) -> dict[str, float]:
    """How many times as fast as the yardstick; compared round by round, since a round shares the machine's mood."""
    return spread([theirs / ours for ours, theirs in zip(values, yardstick, strict=True)])
