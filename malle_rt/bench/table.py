"""A result as tables for people, in the words of the README: sigma, PSNR-Y, fps, denoise, file to file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from malle_rt.bench.result import Result, Row
from malle_rt.bench.spans import STAGES
from malle_rt.measuring import Spread

__all__ = ["Section", "describe", "sections"]


@dataclass(frozen=True)
class Section:
    """A part of the text.

    Attributes:
        lines: what stands above its table, or by itself.
        table: cells, line by line, headings first; empty where there is none.
    """

    lines: tuple[str, ...]
    table: tuple[tuple[str, ...], ...] = ()


def describe(result: Result) -> str:
    """Speed, stages, roofline, peers, what was left out, what failed."""
    return "\n\n".join("\n".join([*part.lines, *_aligned(part.table)]) for part in sections(result))


def sections(result: Result) -> list[Section]:
    """The same in parts, those left out that have nothing to tell."""
    return [part for part in _parts(result) if part.lines]


def _parts(result: Result) -> Iterator[Section]:
    ours = [row for row in result.rows if row.kind == "malle-rt"]
    good = [row for row in ours if row.ok]
    repeats, sigma = result.settings["repeats"], result.settings["sigma"]
    yield Section(
        (
            f"{result.machine.get('processor', '')}; {result.machine.get('other load', 'unknown')} busy with others"
            + (f"; reference task {_spread(result.reference)} rounds per second" if result.reference else ""),
            f"gain in PSNR-Y over noise of sigma {sigma:g}; fps, median of up to {repeats} repeats "
            "± (highest less lowest)",
        ),
        _table(_SPEED, good),
    )
    filed = [row for row in good if row.file_explained is not None]
    if filed:
        told = min(row.file_explained or 0.0 for row in filed)
        title = (
            f"file to file, ms per frame: stages - overlap + idle = wall; stages explain {told:.0%} or more"
        )
        yield Section((title,), _table(_STAGES, filed))
    limited = [row for row in good if row.roofline]
    if limited:
        rates = ", ".join(f"{name.replace('_', ' ')} {value:.0f}" for name, value in result.rates.items())
        yield Section((f"against this processor's limits ({rates})",), _table(_ROOFLINE, limited))
    peers = [row for row in result.rows if row.kind == "peer" and row.ok]
    if peers:
        yield Section(("others, on the same frames",), _table(_peer_columns(good), peers))
    yield Section(tuple(f"not here: {each.name}: {each.reason}" for each in result.skipped))
    yield Section(tuple(f"FAILED: {row.name} {row.size}: {row.problem}" for row in result.rows if not row.ok))


Column = tuple[str, Callable[[Row], str]]


def _spread(value: Spread | None) -> str:
    if value is None:
        return "-"
    digits = 0 if value.median >= 100 else 1 if value.median >= 10 else 2
    return f"{value.median:.{digits}f} ±{value.percent:.0f}%"


def _number(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _latency(row: Row) -> str:
    return "/".join(f"{each.median:.3g}" for each in row.latency_ms.values())


_WHAT: list[Column] = [("", lambda row: row.name), ("size", lambda row: row.size)]
_SPEED: list[Column] = [
    *_WHAT,
    ("gain dB", lambda row: _number(row.gain_db, 2)),
    ("network", lambda row: _spread(row.engine_fps)),
    ("denoise", lambda row: _spread(row.pipeline_fps)),
    ("file to file", lambda row: _spread(row.file_fps)),
    ("ms p50/95/99", _latency),
    ("MiB", lambda row: _number(row.peak_host_mib.median if row.peak_host_mib else None, 0)),
    ("cores", lambda row: _number(row.cores, 2)),
    ("W", lambda row: _number(row.gpu_watts if row.gpu_watts is not None else row.watts, 0)),
    ("weights", lambda row: row.weights),
]
_STAGES: list[Column] = [
    *_WHAT,
    *((name, lambda row, name=name: _number(row.file_stages_ms.get(name), 2)) for name in STAGES),
    ("overlap", lambda row: _number(row.file_overlap_ms, 2)),
    ("idle", lambda row: _number(row.file_idle_ms, 2)),
    ("wall", lambda row: _number(row.file_wall_ms, 2)),
]
_ROOFLINE: list[Column] = [
    *_WHAT,
    ("GMAC", lambda row: _number(row.roofline.macs / 1e9 if row.roofline else None, 2)),
    ("MB", lambda row: _number(row.roofline.bytes / 1e6 if row.roofline else None, 0)),
    ("limit ms", lambda row: _number(row.roofline.limit_ms if row.roofline else None, 2)),
    ("by", lambda row: row.roofline.bound if row.roofline else ""),
    ("reached", lambda row: f"{row.roofline.share:.0%}" if row.roofline else ""),
]


def _peer_columns(ours: Sequence[Row]) -> list[Column]:
    def ratio(row: Row) -> str:
        rivals = [each.pipeline_fps.median for each in ours if each.size == row.size and each.pipeline_fps]
        return f"{max(rivals) / row.pipeline_fps.median:.2g} x" if rivals and row.pipeline_fps else "-"

    return [
        *_WHAT,
        ("gain dB", lambda row: _number(row.gain_db, 2)),
        ("denoise, fps", lambda row: _spread(row.pipeline_fps)),
        ("malle-rt is faster", ratio),
        ("setting", lambda row: row.device),
    ]


def _table(columns: Sequence[Column], rows: Sequence[Row]) -> tuple[tuple[str, ...], ...]:
    """Cells, line by line; columns that say nothing in any row are left out."""
    cells = [[heading, *(text(row) for row in rows)] for heading, text in columns]
    cells = [column for column in cells if any(cell not in ("", "-") for cell in column[1:])]
    return tuple(zip(*cells, strict=True))


def _aligned(table: Sequence[Sequence[str]]) -> list[str]:
    """Lines of text, the first column to the left."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = []
    for line in table:
        padded = [line[0].ljust(widths[0])]
        padded += [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        lines.append("  ".join(padded).rstrip())
    return lines
