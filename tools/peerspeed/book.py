"""The file of measurements: one table for each runtime and picture size, each from one run."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from malle_rt.errors import ConfigError

__all__ = ["Row", "Table", "add_table", "read_tables"]


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
