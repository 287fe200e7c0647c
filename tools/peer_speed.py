"""How fast denoisers are: ours beside other people's, each network in turn in every round of one run.

    python tools/peer_speed.py --runtime openvino --size 480x320 --out speed.json
    python tools/peer_speed.py --out speed.json --quality ffdnet.json mallenet-s.json --report speed_against_peers.md

The first measures, the second writes up every table that the file holds, beside what evaluate.py --images found for
FFDNet, DnCNN and MalleNet. Time does not depend on what a network has learned, so weights are random; SwinIR, DRUNet
and FastDVDnet, whose weights are not at hand, are timed like all others. Only ratios within one run mean anything on a
machine that has other work to do.
"""

from __future__ import annotations

import argparse
import sys
from importlib.metadata import version
from pathlib import Path

import torch
from peerspeed.networks import NAMES, RUNTIMES, Network, network, ready
from peerspeed.report import write_report
from peerspeed.timings import Row, Table, add_table, interleaved, read_tables, spread, times_as_fast

from malle_rt.backends.base import usable_cpus
from malle_rt.errors import ConfigError, MalleError
from malle_rt.measuring import OtherLoad, processor_name

MULTIPLE = 8  # of both sides, as most of the networks take them; MalleNet pads to multiples of 64


def main() -> int:
    """Run the command line."""
    options = parse()
    try:
        if options.runtime:
            table = measured(options)
            add_table(options.out, table)
        if options.report:
            write_report(read_tables(options.out), options.quality, options.report)
    except MalleError as exc:
        print(f"peer_speed.py: {exc}", file=sys.stderr)
        return 2 if isinstance(exc, ConfigError) else 1
    return 0


def parse() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="file of the measurements, JSON")
    parser.add_argument("--runtime", choices=RUNTIMES, help="measure in this one")
    parser.add_argument(
        "--size", type=size, default=(480, 320), help="WIDTHxHEIGHT of the pictures (480x320)"
    )
    parser.add_argument(
        "--model", nargs="+", choices=NAMES, default=NAMES, metavar="NAME", help=", ".join(NAMES)
    )
    parser.add_argument("--rounds", type=int, default=3, help="turns of each network (3)")
    parser.add_argument("--threads", type=int, default=usable_cpus(), help="of the CPU (all)")
    parser.add_argument("--report", type=Path, help="Markdown file to write from all that OUT holds")
    parser.add_argument(
        "--quality", type=Path, nargs="+", default=[], help="for the report: --json of evaluate.py --images"
    )
    options = parser.parse_args()
    if not (options.runtime or options.report):
        parser.error("nothing to do: give --runtime to measure, --report to write up")
    if options.quality and not options.report:
        parser.error("--quality is for a --report")
    if options.rounds < 1 or options.threads < 1:
        parser.error("--rounds and --threads must be at least 1")
    for path in filter(None, (options.out, options.report)):
        if not path.parent.is_dir():  # found out before the work, not after
            parser.error(f"no folder {path.parent} to write {path.name} to")
    return options


def size(text: str) -> tuple[int, int]:
    """Width and height of "480x320"."""
    width, _, height = text.partition("x")
    found = int(width), int(height)  # argparse turns a ValueError into its own message
    if min(found) < MULTIPLE or any(side % MULTIPLE for side in found):
        raise argparse.ArgumentTypeError(f"both sides must be multiples of {MULTIPLE}, got {text}")
    return found


def measured(options: argparse.Namespace) -> Table:
    """Time the networks asked for, in turns; the first of them is the yardstick."""
    if options.out.exists():
        read_tables(options.out)  # a file of something else is found out before the work
    torch.set_num_threads(options.threads)
    networks, calls, precisions = [], {}, {}
    for name in options.model:
        networks.append(network(name))
        calls[name], precisions[name] = ready(networks[-1], options.runtime, options.size, options.threads)
        print(f"{name} is ready", file=sys.stderr, flush=True)
    load = OtherLoad()
    times = interleaved(calls, options.rounds)
    others = load.cores()
    yardstick = times[options.model[0]]
    return Table(
        runtime=f"{options.runtime} {version(options.runtime)}",
        machine=processor_name(),
        threads=options.threads,
        size="{}x{}".format(*options.size),
        rounds=options.rounds,
        other_cores=None if others is None else round(others, 2),
        yardstick=options.model[0],
        rows=[row(each, precisions[each.name], times[each.name], yardstick) for each in networks],
    )


def row(network: Network, precision: str, times: list[float], yardstick: list[float]) -> Row:
    """What a run found of one network; times are milliseconds by round."""
    return Row(
        network=network.name,
        precision=precision,
        parameters=network.parameters,
        kmac_per_pixel=round(network.kmac_per_pixel, 1),
        ms=spread(times),
        times_as_fast=times_as_fast(times, yardstick),
    )


if __name__ == "__main__":
    sys.exit(main())
