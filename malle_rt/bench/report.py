"""A result as one file to look at: HTML with its plots inside, or the plots as PNG."""

from __future__ import annotations

from html import escape
from pathlib import Path

from malle_rt.bench.plots import PLOTS, draw_all, svg
from malle_rt.bench.result import Result
from malle_rt.bench.table import describe

__all__ = ["write_report"]

_STYLE = """
body { font: 16px/1.45 system-ui, sans-serif; color: #111; background: #fff; }
body { max-width: 46em; margin: auto; padding: 1em; }
h1 { font-size: 1.5em; } h2 { font-size: 1.15em; margin: 1.6em 0 .3em; }
figure { margin: 0; break-inside: avoid; } figure svg { width: 100%; height: auto; }
pre { font: 12px/1.4 ui-monospace, monospace; overflow-x: auto; background: #f6f6f6; padding: .8em; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1em 1em; font-size: .9em; } dd { margin: 0; }
@media print { body { max-width: none; padding: 0; } pre { font-size: 6.5pt; background: none; padding: 0; } }
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
            f"<h2>Figures</h2>\n<pre>{escape(describe(result))}</pre>",
            f"<h2>Machine</h2>\n<dl>{machine}</dl>",
            "</body></html>\n",
        ]
    )


def _named_apart(drawing: str, number: int) -> str:
    """A drawing whose names inside do not meet those of others in the same document."""
    for before in ('id="', 'href="#', "url(#"):
        drawing = drawing.replace(before, f"{before}p{number}-")
    return drawing
