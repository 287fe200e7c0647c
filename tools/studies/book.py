"""A study's file: its plan, its runs, the networks it is about and their times."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from malle_rt.errors import ConfigError

__all__ = ["Book"]


@dataclass
class Book:
    """What has been measured so far; the file is rewritten, whole, after every run.

    Attributes:
        path: of the file.
        plan: of all runs in it, as a dict.
        runs: one row per trained network: "cell", "seed", "device" and what came of it.
        cells: name to configuration and arithmetic.
        times: machine and runtime to cell to ms per picture.
        material: what was trained and tested on, in the study's own words.
    """

    path: Path
    plan: dict[str, Any] = field(default_factory=dict)
    runs: list[dict[str, Any]] = field(default_factory=list)
    cells: dict[str, dict[str, Any]] = field(default_factory=dict)
    times: dict[str, dict[str, float]] = field(default_factory=dict)
    material: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path, *, resume: bool) -> Book:
        """A new study's book, or one to go on with.

        Raises:
            ConfigError: there is a file already, and it is not to be resumed; or there is none to resume, or no
                folder for it.
        """
        if not path.parent.is_dir():  # found out before the work, not after
            raise ConfigError(f"no folder {path.parent} to write {path.name} to; make it first")
        if resume and not path.exists():
            raise ConfigError(f"{path}: there is no study to go on with; leave --resume out")
        if path.exists() and not resume:
            raise ConfigError(f"{path} exists: pass --resume, or another --out")
        return cls.read(path) if resume else cls(path)

    @classmethod
    def read(cls, path: Path) -> Book:
        """A file of ``write``."""
        return cls(path, **json.loads(path.read_text()))

    def write(self) -> None:
        """Replace the file."""
        content = {name: value for name, value in vars(self).items() if name != "path"}
        partial = self.path.with_suffix(".partial")
        partial.write_text(json.dumps(content, indent=1) + "\n")
        partial.replace(self.path)

    def has(self, cell: str, seed: int) -> bool:
        """Whether this run is done."""
        return any((run["cell"], run["seed"]) == (cell, seed) for run in self.runs)

    def check(self, cells: Mapping[str, Mapping[str, Any]]) -> None:
        """See that runs to come and runs in the file are of the same networks.

        Args:
            cells: name to configuration, as for ``describe``.

        Raises:
            ConfigError: a name of the file stands for another network now.
        """
        for name, config in cells.items():
            known = self.cells.get(name, {})
            changed = [f"{each} {known[each]}" for each, now in config.items() if known.get(each, now) != now]
            if changed:
                raise ConfigError(
                    f"{self.path}: {name} was made with {', '.join(changed)}: begin another file"
                )

    def describe(self, cell: str, config: Mapping[str, Any], kmac: float) -> None:
        """Note a cell's configuration and its thousands of multiply-adds per pixel."""
        self.cells[cell] = {**config, "kmac_per_pixel": round(kmac, 2)}
