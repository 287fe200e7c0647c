"""Write the tables of figures of README and docs/measured.md from measurements: none of them is typed by hand.

    malle-rt bench --backend all --size 360p,720p --peers --json docs/bench.json
    python tools/compare.py --clips CLIP... --json docs/measured.json
    python tools/readme_table.py docs/bench.json docs/measured.json            writes them between the markers
    python tools/readme_table.py docs/bench.json docs/measured.json --check    exit code 1 if they are not what is there

The markers are ``<!-- bench -->`` and ``<!-- /bench -->``, ``<!-- compare -->`` and ``<!-- /compare -->``, each on a
line of its own.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from yardstick.report import summary

from malle_rt.bench.result import Result, Row, load_result
from malle_rt.measuring import Spread

ROOT = Path(__file__).resolve().parent.parent
PAGES = {"compare": ROOT / "README.md", "bench": ROOT / "docs" / "measured.md"}
HEADINGS = ("", "size", "PSNR-Y gain", "network", "denoise", "file to file", "latency p50 / p95", "memory")


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("json", type=Path, nargs="+", help="of malle-rt bench, or of tools/compare.py")
    parser.add_argument("--readme", type=Path, help="file with the markers, of all tables")
    parser.add_argument("--check", action="store_true", help="change nothing")
    options = parser.parse_args()
    wrong = False
    for path in options.json:
        name, inside = block(path)
        page = options.readme or PAGES[name]
        before = page.read_text()
        text = replaced(before, name, inside)
        if not options.check:
            page.write_text(text)
        elif text != before:
            print(f"{page}: not the table of {path}; run tools/readme_table.py")
            wrong = True
    return int(wrong)


def block(path: Path) -> tuple[str, str]:
    """Name of the markers, and what belongs between them."""
    content = json.loads(path.read_text())
    return ("compare", summary(content)) if "scores" in content else ("bench", table(load_result(path)))


def replaced(text: str, name: str, inside: str) -> str:
    """The text with what stands between the markers of that name replaced.

    Raises:
        SystemExit: the markers are not there.
    """
    start, stop = f"<!-- {name} -->", f"<!-- /{name} -->"
    head, begin, rest = text.partition(f"{start}\n")
    _, end, tail = rest.partition(stop)
    if not begin or not end:
        sys.exit(f"no lines {start} and {stop} in the file")
    return f"{head}{begin}{inside}\n{end}{tail}"


def table(result: Result) -> str:
    """Rows that are proven, as Markdown, and a line on how they came about."""
    lines = ["| " + " | ".join(HEADINGS) + " |", "|" + "---|" * len(HEADINGS)]
    lines += ["| " + " | ".join(_cells(row)) + " |" for row in result.rows if row.ok]
    machine = result.machine
    about = (
        f"{machine['processor'].partition(' (')[0]}; OpenVINO {machine.get('openvino', '?')}; "
        f"malle-rt {result.malle_rt}, {result.created[:10]}; other programs: {machine.get('other load', '?')}; "
        f"noise of sigma {result.settings['sigma']:g}; median of {result.settings['repeats']} repeats, "
        "± highest less lowest."
    )
    return "\n".join([*lines, "", about])


def _cells(row: Row) -> list[str]:
    latency = [f"{row.latency_ms[name].median:.3g}" for name in ("p50", "p95") if name in row.latency_ms]
    return [
        f"`{row.name}`" if row.kind == "malle-rt" else row.name,
        row.size,
        f"{row.gain_db:+.1f} dB" if row.gain_db is not None else "",
        _fps(row.engine_fps),
        _fps(row.pipeline_fps),
        _fps(row.file_fps),
        f"{' / '.join(latency)} ms" if latency else "",
        f"{row.peak_host_mib.median:.0f} MiB" if row.peak_host_mib else "",
    ]


def _fps(spread: Spread | None) -> str:
    if spread is None:
        return ""
    shown = f"{spread.median:.0f}" if spread.median >= 100 else f"{spread.median:.3g}"
    return f"{shown} fps ±{spread.percent:.0f}%"


if __name__ == "__main__":
    sys.exit(main())
