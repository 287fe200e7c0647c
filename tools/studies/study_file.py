"""What the studies share: the file of their runs, tables, and the time of a call."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from malle_rt.errors import BackendUnavailable, ConfigError
from malle_rt.ops.onnx import export_onnx

__all__ = ["CALLS", "StudyFile", "fastest", "openvino_call", "table"]


@dataclass
class StudyFile:
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
    def open(cls, path: Path, *, resume: bool) -> StudyFile:
        """A new study's file, or one to go on with.

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
    def read(cls, path: Path) -> StudyFile:
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


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows under their headings."""
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


ROUNDS, CALLS_IN_A_ROW = 8, 5
CALLS = ROUNDS * CALLS_IN_A_ROW
"""How many calls of each network count."""


def fastest(calls: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Milliseconds of the fastest call of each, by name.

    All take turns, so that a change of the machine's speed meets them alike; of what else runs, the fastest call has
    the least in it.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            times[name] += [_timed(call) for _ in range(CALLS_IN_A_ROW)]
    return {name: round(min(each) * 1e3, 3) for name, each in times.items()}


def _timed(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def openvino_call(
    net: nn.Module, inputs: Sequence[Tensor], threads: int, *, outputs: Sequence[str] = ("clean",)
) -> Callable[[], object]:
    """Make everything ready but the call itself, tensor to tensor, in float32.

    Args:
        net: in eval mode, on the CPU.
        inputs: its positional arguments, float32; their shapes are final.
        threads: of the CPU.
        outputs: a name for each tensor that it returns.

    Raises:
        BackendUnavailable: OpenVINO would run the slice in slow standard operations.
    """
    from malle_rt.ops.native import load_extension
    from malle_rt.vino import ov  # a machine that only trains has none

    core = ov.Core()
    if not load_extension(core):
        raise BackendUnavailable("the compiled slice is missing: install malle-rt where a C++ compiler is")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        names = [f"input{index}" for index in range(len(inputs))]
        export_onnx(net, inputs, path, input_names=names, output_names=outputs)
        graph = core.read_model(path)
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": str(threads),
    }
    request = core.compile_model(graph, "CPU", settings).create_infer_request()
    arrays = [value.numpy() for value in inputs]
    return lambda: request.infer(arrays)
