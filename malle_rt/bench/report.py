"""A result as one file to look at: HTML with its plots inside, or the plots as PNG."""

from __future__ import annotations

from html import escape
from pathlib import Path

from malle_rt.bench.plots import PLOTS, draw_all, svg
from malle_rt.bench.result import Result
from malle_rt.bench.table import Section, sections

__all__ = ["write_report"]

_STYLE = """
body { font: 16px/1.45 system-ui, sans-serif; color: #111; background: #fff; }
body { max-width: 60em; margin: auto; padding: 1em; }
h1 { font-size: 1.5em; } h2 { font-size: 1.15em; margin: 1.6em 0 .3em; }
figure { margin: 0; max-width: 46em; break-inside: avoid; } figure svg { width: 100%; height: auto; }
div { overflow-x: auto; break-inside: avoid; } table { border-collapse: collapse; font-size: .8em; width: 100%; }
th, td { padding: .2em .45em; text-align: right; vertical-align: bottom; border-bottom: 1px solid #ddd; }
td { font-variant-numeric: tabular-nums; } td + td { white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1em 1em; font-size: .9em; } dd { margin: 0; }
@media print { body { max-width: none; padding: 0; } table { font-size: 7pt; } }
"""


def write_report(result: Result, path: Path) -> None:
    """Write the report; the name's ending chooses the kind.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    if path.suffix == ".png":
        draw_all(result).savefig(path, dpi=150)
    else:
        path.write_text(_html(result))


def _html(result: Result) -> str:
    figures = [
        f"<h2>{escape(title)}</h2>\n<figure>{_named_apart(svg(result, title), number)}</figure>"
        for number, title in enumerate(PLOTS)
    ]
    machine = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in result.machine.items()
    )
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>malle-rt bench</title><style>{_STYLE}</style></head><body>",
            f"<h1>malle-rt bench</h1>\n<p>malle-rt {escape(result.malle_rt)}, {escape(result.created)}</p>",
            *figures,
            "<h2>Figures</h2>",
            *map(_section, sections(result)),
            f"<h2>Machine</h2>\n<dl>{machine}</dl>",
            "</body></html>\n",
        ]
    )


def _section(part: Section) -> str:
    """Its lines, and its table, which scrolls by itself where a screen is too narrow."""
    lines = "".join(f"<p>{escape(line)}</p>" for line in part.lines)
    if not part.table:
        return lines
    head, *body = part.table
    rows = ["".join(f"<th>{escape(cell)}</th>" for cell in head)]
    rows += ["".join(f"<td>{escape(cell)}</td>" for cell in line) for line in body]
    return f"{lines}<div><table>{''.join(f'<tr>{row}</tr>' for row in rows)}</table></div>"


def _named_apart(drawing: str, number: int) -> str:
    """A drawing whose names inside do not meet those of others in the same document."""
    for before in ('id="', 'href="#', "url(#"):
        drawing = drawing.replace(before, f"{before}p{number}-")
    return drawing
