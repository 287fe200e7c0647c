"""Two results side by side: what changed, and by how much beyond the spread.

Two or three repeats of one row may lie close together by chance, while the machine is no steadier for it than for the
other rows. So no row counts as steadier than its run as a whole: the root mean square of all rows' spreads. And what
the reference task lost or gained from one run to the other, any row may have lost or gained with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from malle_rt.bench.result import Result, Row
from malle_rt.measuring import Spread

__all__ = ["Change", "changes", "describe_changes"]

_GAIN = 0.1  # dB: precisions and machines round differently by less
_MEMORY = "peak host MiB"
_SPREADS: dict[str, Callable[[Row], Spread | None]] = {
    "engine fps": lambda row: row.engine_fps,
    "pipeline fps": lambda row: row.pipeline_fps,
    "file fps": lambda row: row.file_fps,
    "latency p50 ms": lambda row: row.latency_ms.get("p50"),
    _MEMORY: lambda row: row.peak_host_mib,
}


@dataclass(frozen=True)
class Change:
    """One figure of one row that differs by more than both its spreads and the machine's own change.

    Attributes:
        row: name and size.
        figure: which.
        old, new: medians.
        beyond: how far the difference exceeds all of these together, in the figure's unit.
    """

    row: str
    figure: str
    old: float
    new: float
    beyond: float

    def __str__(self) -> str:
        percent = f"{100 * (self.new / self.old - 1):+.1f} %" if self.old else "from nothing"
        return (
            f"{self.row}: {self.figure} {self.old:.4g} -> {self.new:.4g} ({percent}), "
            f"{self.beyond:.2g} beyond the spread"
        )


def changes(old: Result, new: Result) -> list[Change]:
    """What differs in rows that both have and that ran in both."""
    before = {row.key: row for row in old.rows if row.ok}
    floors = _floors(old), _floors(new)
    drift = abs(_drift(old, new))
    pairs = [(before[row.key], row) for row in new.rows if row.ok and row.key in before]
    return [change for was, now in pairs for change in _changes(was, now, floors, drift)]


def describe_changes(old: Result, new: Result) -> str:
    """Lines for people: changes, rows that only one has, rows that failed in one, and another machine."""
    before, after = ({row.key: row for row in result.rows} for result in (old, new))
    both = [key for key in after if key in before]
    lines = [f"compared with the run of {old.created}: {len(both)} rows in both"]
    for what in ("processor", "GPU", "openvino", "torch"):
        was, now = old.machine.get(what), new.machine.get(what)
        if was != now:
            lines.append(f"  another {what}: {was} -> {now}")
    if old.reference and new.reference:
        loads = " and then ".join(str(each.machine.get("other load", "unknown")) for each in (old, new))
        lines.append(
            f"  the machine itself, by its reference task: {100 * _drift(old, new):+.1f} %; busy with others: {loads}"
        )
    found = [f"  {change}" for change in changes(old, new)]
    lines += found or ["  nothing changed beyond the spread"] * bool(both)
    for key in both:
        if before[key].ok != after[key].ok:
            now = "runs now" if after[key].ok else f"FAILS now: {after[key].problem}"
            lines.append(f"  {_title(after[key])}: {now}")
        elif before[key].weights != after[key].weights:
            lines.append(
                f"  {_title(after[key])}: other weights, {before[key].weights} -> {after[key].weights}"
            )
    lines += [f"  only before: {_title(row)}" for key, row in before.items() if key not in after]
    lines += [f"  new: {_title(row)}" for key, row in after.items() if key not in before]
    return "\n".join(lines)


def _floors(result: Result) -> dict[str, float]:
    """Root mean square of all rows' spreads by figure, as a share of the figure."""
    spreads = {name: [of(row) for row in result.rows if row.ok] for name, of in _SPREADS.items()}
    known = {name: [each.percent / 100 for each in found if each] for name, found in spreads.items()}
    return {name: math.hypot(*shares) / math.sqrt(len(shares) or 1) for name, shares in known.items()}


def _drift(old: Result, new: Result) -> float:
    """By what share the reference task became faster; 0 where either run lacks it."""
    return new.reference.median / old.reference.median - 1 if old.reference and new.reference else 0.0


def _changes(
    old: Row, new: Row, floors: tuple[dict[str, float], dict[str, float]], drift: float
) -> Iterator[Change]:
    for figure, of in _SPREADS.items():
        was, now = of(old), of(new)
        if was and now:
            spread = sum(
                max(each.width, floor[figure] * each.median)
                for each, floor in zip((was, now), floors, strict=True)
            )
            if figure != _MEMORY:
                spread += drift * was.median
            beyond = abs(now.median - was.median) - spread
            if beyond > 0:
                yield Change(_title(new), figure, was.median, now.median, beyond)
    if old.gain_db is not None and new.gain_db is not None:
        beyond = abs(new.gain_db - old.gain_db) - _GAIN
        if beyond > 0:
            yield Change(_title(new), "gain dB", old.gain_db, new.gain_db, beyond)


def _title(row: Row) -> str:
    return f"{row.name} {row.size}"
