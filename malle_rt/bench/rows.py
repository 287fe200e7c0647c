"""From the repeats of one combination, as the workers reported them, to its row."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from malle_rt.bench.plan import Combination, Size
from malle_rt.bench.result import Roofline, Row
from malle_rt.bench.spans import STAGES
from malle_rt.measuring import Spread
from malle_rt.pipeline import nearest_rank

__all__ = ["failed_row", "our_row", "peer_row", "with_roofline"]

_PERCENTILES = {"p50": 50, "p95": 95, "p99": 99}
_BYTES = {"int8": 1, "fp16": 2, "fp32": 4}  # of an activation

Report = Mapping[str, Any]
"""A ``Measurement`` or ``PeerMeasurement`` as plain values."""


def failed_row(kind: str, name: Combination | str, size: Size, problem: str) -> Row:
    """A row of what did not run."""
    what = (name, "", "") if isinstance(name, str) else (name.backend, name.model, name.precision)
    return Row(
        kind=kind,
        backend=what[0],
        model=what[1],
        precision=what[2],
        size=size.name,
        width=size.width,
        height=size.height,
        problem=problem,
    )


def our_row(size: Size, reports: Sequence[Report]) -> Row:
    """A row of at least one repeat; it is proven if every repeat is."""
    info = reports[0]["info"]
    problem = next((report["problem"] for report in reports if report["problem"]), None)
    files = [report["file"] for report in reports if report["file"]]
    readings = [report["reading"] for report in reports]
    latencies = [sorted(report["latency_ms"]) for report in reports]
    together = sorted(each for values in latencies for each in values)
    return Row(
        kind="malle-rt",
        backend=info["name"],
        model=info["model"],
        precision=info["precision"],
        device=info["device"],
        weights=info["weights"],
        notes=tuple(info["notes"]),
        size=size.name,
        width=size.width,
        height=size.height,
        repeats=len(reports),
        ok=problem is None,
        problem=problem,
        gain_db=statistics.mean(report["gain_db"] for report in reports),
        engine_fps=Spread.of([1e3 / report["network_ms"] for report in reports]),
        pipeline_fps=Spread.of([report["pipeline_fps"] for report in reports]),
        file_fps=_spread(report["file_fps"] for report in reports),
        start_ms=Spread.of([report["start_ms"] for report in reports]),
        latency_ms={
            name: Spread.of([nearest_rank(values, percent) for values in latencies])
            for name, percent in _PERCENTILES.items()
        },
        latency_quantiles_ms=tuple(nearest_rank(together, each) for each in range(0, 101, 5)),
        stages_ms={name: _median(report["stages_ms"][name] for report in reports) for name in STAGES[1:4]},
        **_file_account(files),
        peak_host_mib=_spread(report["peak_host_mib"] for report in reports),
        peak_device_mib=_highest(reading["gpu_mib"] for reading in readings),
        cores=_median(report["cores"] for report in reports),
        watts=_highest(reading["watts"] for reading in readings),
        celsius=_highest(reading["celsius"] for reading in readings),
        gpu_watts=_highest(reading["gpu_watts"] for reading in readings),
        gpu_celsius=_highest(reading["gpu_celsius"] for reading in readings),
    )


def peer_row(name: str, size: Size, reports: Sequence[Report]) -> Row:
    """A row of at least one repeat; a peer that gains little has still run."""
    return Row(
        kind="peer",
        backend=name,
        size=size.name,
        width=size.width,
        height=size.height,
        repeats=len(reports),
        ok=True,
        device=reports[0]["setting"],
        gain_db=statistics.mean(report["gain_db"] for report in reports),
        pipeline_fps=Spread.of([report["fps"] for report in reports]),
    )


def with_roofline(row: Row, work: Sequence[Mapping[str, Any]], rates: Mapping[str, float]) -> Row:
    """The row with its share of the processor's limits; GPUs have others, which are not measured."""
    rate = rates.get(f"{row.precision}_gmac_per_s")
    counted = [w for w in work if (w["model"], w["width"], w["height"]) == (row.model, row.width, row.height)]
    if not (rate and counted and row.engine_fps and row.device.startswith("CPU")):
        return row
    macs, moved = counted[0]["macs"], counted[0]["values"] * _BYTES[row.precision]
    compute, memory = macs / rate / 1e6, moved / rates["copy_gb_per_s"] / 1e6
    limit = max(compute, memory)
    return dataclasses.replace(
        row,
        roofline=Roofline(
            macs=macs,
            bytes=moved,
            limit_ms=limit,
            bound="compute" if compute >= memory else "memory",
            share=limit * row.engine_fps.median / 1e3,
        ),
    )


def _file_account(files: Sequence[Report]) -> dict[str, Any]:
    """Means, not medians: only those still add up."""
    if not files:
        return {}
    stages = {name: [each["stages"].get(name, 0.0) for each in files] for name in STAGES}
    return {
        "file_stages_ms": {name: statistics.mean(values) for name, values in stages.items()},
        "file_wall_ms": statistics.mean(each["wall"] for each in files),
        "file_overlap_ms": statistics.mean(each["overlap"] for each in files),
        "file_idle_ms": statistics.mean(each["idle"] for each in files),
    }


def _spread(values: Iterable[float | None]) -> Spread | None:
    known = [value for value in values if value is not None]
    return Spread.of(known) if known else None


def _median(values: Iterable[float]) -> float:
    return statistics.median(values)


def _highest(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)
