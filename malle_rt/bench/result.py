"""What a benchmark found, and its JSON and CSV. docs/bench.md describes every field."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from malle_rt.errors import ConfigError
from malle_rt.measuring import Spread

__all__ = ["SCHEMA", "Result", "Roofline", "Row", "Skipped", "load_result"]

SCHEMA = 1  # grows when a field changes its meaning or goes; new fields may come without


@dataclass(frozen=True, kw_only=True)
class Roofline:
    """How near a row's network comes to the processor's limits.

    Attributes:
        macs: multiply-adds of one frame.
        bytes: that layers read and write for one frame, each activation once.
        limit_ms: the longer of what the processor needs for either at its measured best.
        bound: "compute" or "memory": which of the two that is.
        share: ``limit_ms`` over the network's measured time. Above 1: caches kept what is counted as memory.
    """

    macs: int
    bytes: int
    limit_ms: float
    bound: str
    share: float


@dataclass(frozen=True, kw_only=True)
class Row:
    """One combination, or one peer.

    Attributes:
        kind: "malle-rt" or "peer".
        backend, model, precision, device, weights: what ran; for a peer only its name and setting, as ``device``.
        size, width, height: of the frames.
        repeats: processes that measured it.
        ok: whether it ran, and proved it.
        problem: why not, one line.
        gain_db: PSNR gain on the benchmark's own noise.
        engine_fps: the network alone.
        pipeline_fps: frames in flight, from memory to memory; for a peer one after the other.
        file_fps: from opening an H.264 file to the finished H.264 file.
        start_ms: from the opened backend to the end of its first frame.
        latency_ms: "p50", "p95" and "p99", frame in to frame out, one at a time.
        latency_quantiles_ms: 0, 5 ... 100 percent of all repeats' latencies.
        stages_ms: what such a frame is made of: pack, network, unpack.
        file_stages_ms: time per frame in which each stage of the file's run worked.
        file_wall_ms, file_overlap_ms, file_idle_ms: sum of ``file_stages_ms`` less overlap plus idle is wall.
        peak_host_mib, peak_device_mib: most memory in use.
        cores: kept busy during the file.
        watts, celsius, gpu_watts, gpu_celsius: where the machine tells.
        roofline: None where it was not counted.
    """

    kind: str
    backend: str
    model: str = ""
    precision: str = ""
    size: str
    width: int
    height: int
    repeats: int = 0
    ok: bool = False
    problem: str | None = None
    device: str = ""
    weights: str = ""
    notes: tuple[str, ...] = ()
    gain_db: float | None = None
    engine_fps: Spread | None = None
    pipeline_fps: Spread | None = None
    file_fps: Spread | None = None
    start_ms: Spread | None = None
    latency_ms: dict[str, Spread] = field(default_factory=dict)
    latency_quantiles_ms: tuple[float, ...] = ()
    stages_ms: dict[str, float] = field(default_factory=dict)
    file_stages_ms: dict[str, float] = field(default_factory=dict)
    file_wall_ms: float | None = None
    file_overlap_ms: float | None = None
    file_idle_ms: float | None = None
    peak_host_mib: Spread | None = None
    peak_device_mib: float | None = None
    cores: float | None = None
    watts: float | None = None
    celsius: float | None = None
    gpu_watts: float | None = None
    gpu_celsius: float | None = None
    roofline: Roofline | None = None

    @property
    def name(self) -> str:
        """What ran, without the size."""
        return " ".join(part for part in (self.backend, self.model, self.precision) if part)

    @property
    def file_explained(self) -> float | None:
        """Share of the file's wall-clock time in which a stage is known to have worked."""
        if self.file_wall_ms is None or self.file_idle_ms is None:
            return None
        return 1 - self.file_idle_ms / self.file_wall_ms

    @property
    def key(self) -> tuple[str, ...]:
        """What the same row of another run has in common."""
        return (self.kind, self.backend, self.model, self.precision, f"{self.width}x{self.height}")


@dataclass(frozen=True)
class Skipped:
    """What cannot run here, and was not asked for by name."""

    name: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Result:
    """One run of the benchmark.

    Attributes:
        created: UTC, ISO 8601.
        malle_rt: version.
        machine: what was measured on, and with which versions; nothing that tells whose it is.
        settings: sigma of the noise, seconds, repeats, whether an own file was given.
        rates: limits of the processor, see ``measure_limits``.
        reference: rounds per second of a task that never changes, all through the run; see ``ReferenceTask``.
        rows: what was measured.
        skipped: what could not be.
    """

    created: str
    malle_rt: str
    machine: dict[str, str]
    settings: dict[str, Any]
    rates: dict[str, float]
    rows: tuple[Row, ...]
    skipped: tuple[Skipped, ...] = ()
    reference: Spread | None = None

    @property
    def ok(self) -> bool:
        """Whether every row of ours is proven, and there is one."""
        ours = [row for row in self.rows if row.kind == "malle-rt"]
        return bool(ours) and all(row.ok for row in ours)

    def to_json(self) -> str:
        """The whole result; figures to five digits."""
        return json.dumps({"schema": SCHEMA} | _rounded(dataclasses.asdict(self)), indent=1) + "\n"

    def to_csv(self) -> str:
        """A line for each row; spreads become three columns, lists and texts of several lines are left out."""
        flat = [_flat(dataclasses.asdict(row)) for row in self.rows]
        columns = list(dict.fromkeys(column for row in flat for column in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(_rounded(row) for row in flat)
        return text.getvalue()


def load_result(path: Path) -> Result:
    """Read what ``to_json`` wrote.

    Raises:
        ConfigError: it cannot be read, or is of another schema.
    """
    try:
        fields = json.loads(path.read_text())
        if not isinstance(fields, dict) or fields.pop("schema", None) != SCHEMA:
            raise ConfigError(
                f"{path} is not a benchmark of schema {SCHEMA}. Measure again with this malle-rt"
            )
        fields["rows"] = tuple(map(_row, fields["rows"]))
        fields["skipped"] = tuple(Skipped(**each) for each in fields["skipped"])
        fields["reference"] = _spread(fields.get("reference"))
        return Result(**_known(Result, fields))
    except (OSError, ValueError, KeyError, TypeError) as exc:
        if isinstance(exc, ConfigError):
            raise
        raise ConfigError(f"{path} is not a benchmark: {exc}") from exc


def _row(fields: dict[str, Any]) -> Row:
    """A row from its JSON."""
    values = {name: _spread(value) for name, value in _known(Row, fields).items()}
    values["latency_ms"] = {name: Spread(**each) for name, each in fields["latency_ms"].items()}
    values["latency_quantiles_ms"] = tuple(fields["latency_quantiles_ms"])
    values["notes"] = tuple(fields["notes"])
    if fields["roofline"]:
        values["roofline"] = Roofline(**fields["roofline"])
    return Row(**values)


def _known(of: type[Result | Row], fields: dict[str, Any]) -> dict[str, Any]:
    """Without the fields that only a newer version has."""
    known = {each.name for each in dataclasses.fields(of)}
    return {name: value for name, value in fields.items() if name in known}


def _spread(value: Any) -> Any:
    return Spread(**value) if isinstance(value, dict) and set(value) == {"median", "low", "high"} else value


def _flat(fields: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}_")
        elif not isinstance(value, tuple | list):
            flat[prefix + name] = value
    return flat


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    if isinstance(value, tuple | list):
        return [_rounded(each) for each in value]
    return value
