"""``malle-rt bench``: how fast it is here, with the proof that it ran."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from malle_rt.config import BACKENDS, PRECISIONS
from malle_rt.errors import ConfigError
from malle_rt.shown import shown_address

if TYPE_CHECKING:
    from malle_rt.bench.result import Result
    from malle_rt.bench.run import Plan

__all__ = ["add_parser", "run"]

_EPILOG = """\
examples:
  malle-rt bench                                         what transcode would use, at 360p and 720p
  malle-rt bench --backend all --peers --json mine.json --report mine.html
  malle-rt bench --backend openvino --precision int8 --compare mine.json

Every row cleans the benchmark's own noisy clip and is checked against the clean one. Exit code 1 if a row is not
proven: its network did not run, ran wrongly, or the process ended. docs/bench.md explains every figure.
"""
_MANY = 20  # combinations, those that turn out not to run here included, above which two repeats must do
_REPORTS = (".html", ".png")


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "bench",
        help="measure speed, memory and gain on this machine",
        description="Measure every stage, throughput, latency and memory, each combination in processes of its own.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    what = parser.add_argument_group("what")
    what.add_argument(
        "--backend", nargs="+", default=["auto"], metavar="NAME", help=f"{', '.join(BACKENDS)} or all (auto)"
    )
    what.add_argument(
        "--model",
        nargs="+",
        default=["rt-s"],
        metavar="NAME",
        help="networks, mallenet-s and -m among them, or all for video (rt-s)",
    )
    what.add_argument(
        "--size",
        default="360p,720p",
        metavar="LIST",
        help="360p, 720p, 1080p, 4k, or such as 960x540, separated by commas (360p,720p)",
    )
    what.add_argument(
        "--precision",
        nargs="+",
        metavar="NAME",
        help=f"{', '.join(PRECISIONS)} or all (all that a named backend has)",
    )
    what.add_argument("--peers", action="store_true", help="also FFmpeg's and OpenCV's denoisers")
    what.add_argument(
        "--input",
        type=_file,
        metavar="FILE",
        help="transcode this file, at its size, instead of the own clip",
    )
    how = parser.add_argument_group("how long")
    how.add_argument("--seconds", type=float, default=1.0, metavar="N", help="of one measurement (1)")
    how.add_argument(
        "--repeats", type=int, metavar="N", help="of each combination (3; 2 where there are many)"
    )
    out = parser.add_argument_group("results")
    out.add_argument("--json", type=Path, metavar="FILE", help="everything, for programs")
    out.add_argument("--csv", type=Path, metavar="FILE", help="a line for each row")
    out.add_argument("--report", type=Path, metavar="FILE", help="plots: .html, or .png for the plots alone")
    out.add_argument("--overwrite", action="store_true", help="replace FILEs that exist")
    out.add_argument("--compare", type=Path, metavar="OLD", help="say what changed since that JSON")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress")


def run(options: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    plan = _plan(options)
    from malle_rt.bench.result import load_result

    # Whatever cannot work is found before minutes of measuring, not after.
    old = load_result(options.compare) if options.compare else None
    if options.report:
        from malle_rt.bench.plots import require_matplotlib

        require_matplotlib()
    from malle_rt.bench.run import run as measure
    from malle_rt.bench.table import describe

    result = measure(plan, lambda line: None if options.quiet else print(line, file=sys.stderr, flush=True))
    print(describe(result))
    if old:
        from malle_rt.bench.comparison import describe_changes

        print("\n" + describe_changes(old, result))
    _write(result, options)
    return 0 if result.ok else 1


def _file(text: str) -> Path:
    if "://" in text:
        raise argparse.ArgumentTypeError(f"want a file, got {shown_address(text)}. Download it first")
    return Path(text)


def _plan(options: argparse.Namespace) -> Plan:
    """The options, checked.

    Raises:
        ConfigError: for one that cannot work.
    """
    if options.report and options.report.suffix not in _REPORTS:
        raise ConfigError(f"a report ends in {' or '.join(_REPORTS)}, got {options.report}")
    if not 0 < options.seconds <= 60:
        raise ConfigError(f"seconds must be more than 0 and at most 60, got {options.seconds:g}")
    if options.repeats is not None and not 1 <= options.repeats <= 100:
        raise ConfigError(f"repeats must be 1 to 100, got {options.repeats}")
    for path in (options.json, options.csv, options.report):
        if path and path.exists() and not options.overwrite:
            raise ConfigError(f"{path} is there already: give --overwrite to replace it, or another name")
        if path and not path.absolute().parent.is_dir():
            raise ConfigError(f"there is no folder {path.parent} to write {path.name} into")
    from malle_rt.bench.plan import combinations, parse_size
    from malle_rt.bench.run import Plan

    if options.input:
        from malle_rt.bench.own_file import size_of

        sizes = [size_of(options.input)]
    else:
        sizes = [parse_size(text.strip()) for text in options.size.split(",")]
    precisions = options.precision or ["auto" if options.backend == ["auto"] else "all"]
    found = combinations(options.backend, options.model, precisions, sizes)
    repeats = options.repeats or (2 if len(found) > _MANY else 3)
    return Plan(
        combinations=found,
        peers=_peers() if options.peers else (),
        seconds=options.seconds,
        repeats=repeats,
        input_file=options.input,
    )


def _peers() -> tuple[str, ...]:
    from malle_rt.bench.peers import PEERS

    return PEERS


def _write(result: Result, options: argparse.Namespace) -> None:
    if options.json:
        options.json.write_text(result.to_json())
    if options.csv:
        options.csv.write_text(result.to_csv())
    if options.report:
        from malle_rt.bench.report import write_report

        write_report(result, options.report)
    for path in (options.json, options.csv, options.report):
        if path:
            print(f"wrote {path}")
