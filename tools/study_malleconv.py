"""What one MalleConv in a standard backbone buys: DnCNN's layers with and without, trained alike, several seeds.

    python tools/study_malleconv.py --stills DIR --test CBSD68 --out study.json --minutes-per-run 5
    python tools/study_malleconv.py --stills DIR --test CBSD68 --out study.json --resume
    python tools/study_malleconv.py --out study.json --resume --time --report docs/malleconv_study.md

Every network takes the same number of steps, and with the same seed sees the same crops and the same noise. The
figures are written after every run: a cut loses the run it came in. ``--time`` measures milliseconds on this machine,
which need not be the one that trained.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

import torch
from compiledslice import fastest_slice
from evaluation.stills import load_stills
from studies.backbones import Backbone, BackboneConfig, cells
from studies.book import Book
from studies.malleconv import Plan, milliseconds, runtime_name, seconds_per_step, train_cell
from studies.malleconv_report import write_report
from training import add_computing_options, computing
from trainset import Photographs

from malle_rt.errors import ConfigError, MalleError
from malle_rt.net.cost import kmac_per_pixel


def main() -> int:
    """Run the command line."""
    options = parse()
    if options.threads:
        torch.set_num_threads(options.threads)
    every = cells()
    chosen = {name: every[name] for name in options.only or every}
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cudnn.benchmark = True  # every crop has the same size
    try:
        book = Book.open(options.out, resume=options.resume)
        book.check({name: asdict(config) for name, config in chosen.items()})
        if options.stills:
            with fastest_slice(device, compiled=options.compiled_slice) as slice_name:
                train(book, chosen, options, device, slice_name)
        if options.time:
            measure_times(book, chosen, device)
        if options.report:
            write_report(book, options.report)
    except MalleError as exc:
        print(f"study_malleconv.py: {exc}", file=sys.stderr)
        return 2 if isinstance(exc, ConfigError) else 1
    return 0


def parse() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stills", type=Path, help="folder of photographs to train on")
    parser.add_argument("--test", type=Path, help="folder of photographs to measure on")
    parser.add_argument("--limit", type=int, help="how many of them")
    parser.add_argument("--out", type=Path, required=True, help="the study's file, JSON")
    parser.add_argument("--resume", action="store_true", help="go on with OUT, by its own plan")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, help="of every run")
    length.add_argument("--minutes-per-run", type=float, help="instead: as many as the costliest one makes")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each network")
    parser.add_argument("--only", nargs="+", choices=sorted(cells()), metavar="NAME", help="networks")
    parser.add_argument("--batch", type=int, default=Plan.batch, help="crops of a step")
    parser.add_argument("--size", type=int, default=Plan.size, help="side of a crop, a multiple of 16")
    parser.add_argument("--rate", type=float, default=Plan.rate, help="largest learning rate")
    add_computing_options(parser)
    parser.add_argument("--time", action="store_true", help="measure milliseconds, on this machine")
    parser.add_argument("--report", type=Path, help="Markdown file to write, with a plot beside it")
    options = parser.parse_args()
    if options.stills and not options.test:
        parser.error("--stills needs --test, a folder of photographs to measure on")
    if options.stills and not (options.resume or options.steps or options.minutes_per_run):
        parser.error("a new study needs --steps or --minutes-per-run")
    return options


def train(
    book: Book,
    chosen: dict[str, BackboneConfig],
    options: argparse.Namespace,
    device: torch.device,
    slice_name: str,
) -> None:
    """Make every run that the book lacks: all networks of a seed before the next seed."""
    data = Photographs.load(options.stills, device, seed=0)
    test = load_stills(options.test, options.limit)
    if not book.plan:
        book.plan = asdict(planned(chosen, data, options))
        book.material = {"test": options.test.name, "tested": len(test), "trained": len(data.pictures)}
    plan = Plan(**book.plan)
    computes = computing(device, slice_name, float32=plan.float32)
    print(f"{plan.steps} steps of {plan.batch} crops of {plan.size}x{plan.size}: {computes}", flush=True)
    for seed in range(options.seeds):
        for name, config in chosen.items():
            if not book.has(name, seed):
                row = {"cell": name, "seed": seed, "device": computes}
                book.runs.append(row | train_cell(config, plan, data, seed, test))
                describe(book, name, config)
                book.write()
                print(book.runs[-1], flush=True)


def planned(chosen: dict[str, BackboneConfig], data: Photographs, options: argparse.Namespace) -> Plan:
    """The plan of a new study."""
    plan = Plan(
        steps=options.steps or 1,
        batch=options.batch,
        size=options.size,
        rate=options.rate,
        float32=options.float32,
    )
    if options.steps:
        return plan
    slowest = max(seconds_per_step(config, plan, data) for config in chosen.values())
    return Plan(**asdict(plan) | {"steps": max(int(options.minutes_per_run * 60 / slowest), 1)})


def measure_times(book: Book, chosen: dict[str, BackboneConfig], device: torch.device) -> None:
    """Milliseconds of each network on this machine; they do not depend on what it has learned."""
    times = book.times.setdefault(runtime_name(device), {})
    times |= milliseconds({name: Backbone(config).eval() for name, config in chosen.items()}, device)
    for name, config in chosen.items():
        describe(book, name, config)
    book.write()


def describe(book: Book, name: str, config: BackboneConfig) -> None:
    """Note a network's configuration and arithmetic."""
    book.describe(name, asdict(config), kmac_per_pixel(Backbone(config).eval()))


if __name__ == "__main__":
    sys.exit(main())
