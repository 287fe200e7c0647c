"""``malle-rt doctor``: what this machine has, what will be used, and how to add what is missing."""

from __future__ import annotations

import argparse
import json
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from malle_rt.doctor.finding import Finding

__all__ = ["add_parser", "run"]

_MARKS = {"ok": "ok ", "missing": " - ", "broken": "BAD"}


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "doctor",
        help="show what this machine has and what will be used",
        description="Look at processor, GPU, libraries, encoders, cameras and display; try the main job on a few "
        "frames; name the command that adds what is missing. Exit code 0 if the main job can run. Nothing private is "
        "in the output: attach it to a bug report.",
    )
    parser.set_defaults(run=run)
    parser.add_argument("--json", action="store_true", help="for programs")


def run(options: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    from malle_rt import __version__
    from malle_rt.doctor.examination import examine

    found = examine()
    if options.json:
        print(json.dumps({"malle_rt": __version__} | found.to_json(), indent=1))
        return 0 if found.runs else 1
    print(f"malle-rt {__version__}")
    for section, findings in groupby(found.findings, key=lambda finding: finding.section):
        print(f"\n{section}")
        for finding in findings:
            print("\n".join(_lines(finding)))
    print("\nThe main job can run." if found.runs else "\nThe main job can NOT run: see what is marked BAD.")
    return 0 if found.runs else 1


def _lines(finding: Finding) -> list[str]:
    lines = [f"  {_MARKS[finding.state]} {finding.name:<16} {finding.detail}"]
    if finding.advice:
        lines.append(f"{'':23}-> {finding.advice}")
    return lines
