"""The whole benchmark: clips, rounds of workers, and one result."""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import malle_rt
from malle_rt.bench.clip import SIGMA, write_clip
from malle_rt.bench.machine import describe_machine
from malle_rt.bench.plan import Combination, Size
from malle_rt.bench.reference import ReferenceTask
from malle_rt.bench.result import Result, Row, Skipped
from malle_rt.bench.rows import failed_row, our_row, peer_row, with_roofline
from malle_rt.bench.worker import launch
from malle_rt.measuring import OtherLoad, Spread

__all__ = ["Plan", "run"]

_LONG = 12.0  # seconds of a process, above which two repeats must do
_PEER_REPEATS = 2
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to measure.

    Attributes:
        combinations: of ours, at least one.
        peers: names of other denoisers, measured at every size.
        seconds: of one measurement; each repeat makes three.
        repeats: processes for each combination. They come in rounds, so that a busy moment of the machine hits one
            repeat of many rather than all of one.
        input_file: transcoded in place of the benchmark's own clip.
    """

    combinations: Sequence[Combination]
    peers: Sequence[str]
    seconds: float
    repeats: int
    input_file: Path | None

    @property
    def sizes(self) -> list[Size]:
        """Every size once."""
        return list(dict.fromkeys(each.size for each in self.combinations))


Target = Combination | tuple[str, Size]
"""One of ours, or a peer at a size."""


def run(plan: Plan, say: Say) -> Result:
    """Measure everything. Files are temporary.

    Args:
        plan: what.
        say: takes a line on what is being done.
    """
    others = OtherLoad()
    with tempfile.TemporaryDirectory(prefix="malle-bench-") as name:
        workers = _Workers(plan, Path(name), say)
        limits = workers.limits()
        reports, reference = workers.rounds()
    rates, work = limits.get("rates", {}), limits.get("work", [])
    rows, skipped = _rows(reports)
    busy = others.cores()
    return Result(
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        malle_rt=malle_rt.__version__,
        machine=describe_machine() | ({} if busy is None else {"other load": f"{busy:.2f} cores"}),
        settings={
            "sigma": SIGMA,
            "seconds": plan.seconds,
            "repeats": plan.repeats,
            "own_file": plan.input_file is not None,
        },
        rates=rates,
        reference=Spread.of(reference),
        rows=tuple(with_roofline(row, work, rates) for row in rows),
        skipped=tuple(dict.fromkeys(skipped)),
    )


class _Workers:
    """Clips in a folder, and workers that use them."""

    def __init__(self, plan: Plan, folder: Path, say: Say) -> None:
        self._plan, self._folder, self._say = plan, folder, say
        self._clips: dict[Size, Path] = {}
        self._missing: set[str] = set()
        for size in plan.sizes:
            say(f"drawing the noisy clip, {size.name}")
            self._clips[size] = folder / size.name
            self._clips[size].mkdir()
            write_clip(size, self._clips[size])

    def limits(self) -> dict[str, Any]:
        """The processor's rates and the models' work."""
        self._say("the processor's limits")
        models = list(dict.fromkeys(each.model for each in self._plan.combinations))
        sizes = [(size.width, size.height) for size in self._plan.sizes]
        return launch({"kind": "limits", "models": models, "sizes": sizes})

    def rounds(self) -> tuple[dict[Target, list[dict[str, Any]]], list[float]]:
        """All repeats of all targets; no more of one that has failed, fewer of a slow one.

        Returns:
            What the workers reported, and the rates of the reference task between them.
        """
        task = ReferenceTask()
        rates = [task.rate()]
        reports: defaultdict[Target, list[dict[str, Any]]] = defaultdict(list)
        wanted: dict[Target, int] = {each: self._plan.repeats for each in self._plan.combinations}
        wanted |= {(peer, size): _PEER_REPEATS for size in self._plan.sizes for peer in self._plan.peers}
        for number in range(1, self._plan.repeats + 1):
            for target in [each for each, repeats in wanted.items() if repeats >= number]:
                if self._known_missing(target):
                    continue
                begin = time.perf_counter()
                report = launch(self._order(target))
                reports[target].append(report)
                taken = time.perf_counter() - begin
                rates.append(task.rate())
                self._say(f"round {number}: {_name(target)}, {_outcome(report)}")
                if _reason(report):
                    wanted[target] = number
                elif taken > _LONG:
                    wanted[target] = min(wanted[target], max(2, number))
                if "unavailable" in report and isinstance(target, Combination) and not target.required:
                    self._missing.add(target.backend)
        return reports, rates

    def _known_missing(self, target: Target) -> bool:
        """Whether another size or precision has shown that this machine lacks what it takes."""
        return isinstance(target, Combination) and not target.required and target.backend in self._missing

    def _order(self, target: Target) -> dict[str, Any]:
        size = _size(target)
        order = {"seconds": self._plan.seconds, "clip": str(self._clips[size]), "folder": str(self._folder)}
        if isinstance(target, Combination):
            order |= {"model": target.model, "precision": target.precision, "backend": target.backend}
            file = self._plan.input_file
            return order | {"kind": "ours", "input": str(file) if file else None}
        return order | {"kind": "peer", "backend": target[0]}


def _rows(reports: dict[Target, list[dict[str, Any]]]) -> tuple[list[Row], list[Skipped]]:
    rows, skipped = [], []
    for target, repeats in reports.items():
        reason = _reason(repeats[-1])
        size, ours = _size(target), isinstance(target, Combination)
        if "unavailable" in repeats[-1] and not (isinstance(target, Combination) and target.required):
            skipped.append(Skipped(_what(target), str(reason)))
        elif reason:
            name = target if isinstance(target, Combination) else target[0]
            rows.append(failed_row("malle-rt" if ours else "peer", name, size, reason))
        elif isinstance(target, Combination):
            rows.append(our_row(size, repeats))
        else:
            rows.append(peer_row(target[0], size, repeats))
    return rows, skipped


def _reason(report: dict[str, Any]) -> str | None:
    """Why a worker has nothing to tell; None where it has."""
    reason = report.get("failed") or report.get("unavailable")
    return str(reason) if reason else None


def _outcome(report: dict[str, Any]) -> str:
    reason = _reason(report)
    return reason or f"{report.get('pipeline_fps') or report['fps']:.1f} fps, {report['gain_db']:+.1f} dB"


def _size(target: Target) -> Size:
    return target.size if isinstance(target, Combination) else target[1]


def _what(target: Target) -> str:
    return target.backend if isinstance(target, Combination) else target[0]


def _name(target: Target) -> str:
    return str(target) if isinstance(target, Combination) else f"{target[0]} {target[1].name}"
