"""Studies of networks: variants with one property changed, trained alike with several seeds, and timed.

    python tools/study.py malleconv --stills DIR --test CBSD68 --out study.json --minutes-per-run 5
    python tools/study.py rt --clips DIR --stills DIR --validate CLIP... --out study.json --steps 800
    python tools/study.py rt --out study.json --resume --time --report docs/rt_study.md

``malleconv``: what one MalleConv in a standard backbone buys, DnCNN's layers with and without. ``rt``: what each part
of rt-s is worth, by the recipe of tools/train.py --generation 1. Every network takes the same number of steps, and with
the same seed draws the same material and the same noise (x264 does not always repeat itself to the last bit). The
figures are written after every run: a cut loses the run it came in. ``--time`` measures milliseconds on this machine,
which need not be the one that trained.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from compiledslice import fastest_slice
from evaluation.stills import load_stills
from studies import malleconv, rt
from studies.backbones import Backbone, BackboneConfig, cells
from studies.rt_variants import VARIANTS, Variant
from studies.study_file import StudyFile
from torch import nn
from training import add_computing_options, computing
from trainset import Photographs, TrainSet, validation_clip

from malle_rt.errors import ConfigError, MalleError
from malle_rt.net.cost import kmac_per_pixel, rt_kmac_per_pixel

Options = argparse.Namespace
Run = Callable[[Any, int], dict[str, Any]]  # a cell and a seed to what came of it


@dataclass(frozen=True, kw_only=True)
class Study:
    """What is studied.

    Attributes:
        cells: its networks, by their names.
        about: what must not change of a cell while a study is being made.
        net: a cell's network.
        kmac: thousands of multiply-adds per pixel of a network in eval mode.
        prepare: loads what is trained on and fills a new book's plan; gives what makes a run, and whether in float32.
        milliseconds: of each network on a device.
        runtime: what measured them.
        report: writes Markdown.
    """

    cells: Mapping[str, Any]
    about: Callable[[Any], dict[str, Any]]
    net: Callable[[Any], nn.Module]
    kmac: Callable[[Any], float]
    prepare: Callable[[StudyFile, dict[str, Any], Options, torch.device], tuple[Run, bool]]
    milliseconds: Callable[[dict[str, Any], torch.device], dict[str, float]]
    runtime: Callable[[torch.device], str]
    report: Callable[[StudyFile, Path], None]

    def describe(self, book: StudyFile, name: str) -> None:
        """Note what a cell is and its arithmetic."""
        cell = self.cells[name]
        book.describe(name, self.about(cell), self.kmac(self.net(cell).eval()))


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    options = parse(arguments)
    study: Study = STUDIES[options.study]
    if options.threads:
        torch.set_num_threads(options.threads)
    chosen = {name: study.cells[name] for name in options.only or study.cells}
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cudnn.benchmark = True  # every crop has the same size
    try:
        book = StudyFile.open(options.out, resume=options.resume)
        book.check({name: study.about(cell) for name, cell in chosen.items()})
        if options.stills:
            train(study, book, chosen, options, device)
        if options.time:
            # They do not depend on what the networks have learned.
            torch.manual_seed(0)
            times = book.times.setdefault(study.runtime(device), {})
            times |= study.milliseconds(
                {name: study.net(cell).eval() for name, cell in chosen.items()}, device
            )
            for name in chosen:
                study.describe(book, name)
            book.write()
        if options.report:
            study.report(book, options.report)
    except MalleError as exc:
        print(f"study.py: {exc}", file=sys.stderr)
        return 2 if isinstance(exc, ConfigError) else 1
    return 0


def parse(arguments: list[str] | None = None) -> Options:
    """Options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    studies = parser.add_subparsers(dest="study", required=True)
    of_malleconv, of_rt = (studies.add_parser(name) for name in STUDIES)
    for each, plan, study in (
        (of_malleconv, malleconv.Plan, STUDIES["malleconv"]),
        (of_rt, rt.Plan, STUDIES["rt"]),
    ):
        add = each.add_argument
        add("--stills", type=Path, help="folder of photographs to train on")
        add("--out", type=Path, required=True, help="the study's file, JSON")
        add("--resume", action="store_true", help="go on with OUT, by its own plan")
        add("--steps", type=int, help="of every run")
        add("--seeds", type=int, default=3, help="runs of each network")
        add("--only", nargs="+", choices=sorted(study.cells), metavar="NAME", help="networks")
        add("--batch", type=int, default=plan.batch, help="crops or sequences of a step")
        add("--size", type=int, default=plan.size, help="side of one in pixels, a multiple of 16")
        add("--rate", type=float, default=plan.rate, help="largest learning rate")
        add_computing_options(each)
        add("--time", action="store_true", help="measure milliseconds, on this machine")
        add("--report", type=Path, help="Markdown file to write")
    add = of_malleconv.add_argument
    add("--test", type=Path, help="folder of photographs to measure on")
    add("--limit", type=int, help="how many of them")
    add("--minutes-per-run", type=float, help="instead of --steps: as many as the costliest one makes")
    add = of_rt.add_argument
    add("--clips", type=Path, help="folder of near-lossless video clips to train on")
    add("--validate", type=Path, nargs="+", default=[], help="clips to measure on")
    add("--cache", type=Path, default=Path("runs/trainset.pt"), help="decoded data, made once")
    add("--frames", type=int, default=rt.Plan.frames, help="frames of a sequence")
    add("--chunk", type=int, default=rt.Plan.chunk, help="frames back-propagated through at once")
    options = parser.parse_args(arguments)
    needed = ("stills", *(("test",) if options.study == "malleconv" else ("clips", "validate")))
    given = [bool(getattr(options, name)) for name in needed]
    if any(given) and not all(given):
        parser.error(f"to train and to measure, give --{' and --'.join(needed)}")
    length = options.steps or getattr(options, "minutes_per_run", None)
    if options.stills and not (options.resume or length):
        parser.error("a new study needs its length: --steps, or for malleconv --minutes-per-run")
    if options.steps and getattr(options, "minutes_per_run", None):
        parser.error("give --steps or --minutes-per-run, not both")
    return options


def train(
    study: Study, book: StudyFile, chosen: dict[str, Any], options: Options, device: torch.device
) -> None:
    """Make every run that the book lacks: all networks of a seed before the next seed."""
    with fastest_slice(device, compiled=options.compiled_slice) as slice_name:
        run, float32 = study.prepare(book, chosen, options, device)
        computes = computing(device, slice_name, float32=float32)
        print(f"{book.plan}: {computes}", flush=True)
        for seed in range(options.seeds):
            for name, cell in chosen.items():
                if not book.has(name, seed):
                    book.runs.append({"cell": name, "seed": seed, "device": computes} | run(cell, seed))
                    study.describe(book, name)
                    book.write()
                    print(book.runs[-1], flush=True)


def prepare_malleconv(
    book: StudyFile, chosen: dict[str, BackboneConfig], options: Options, device: torch.device
) -> tuple[Run, bool]:
    """See ``Study``."""
    data = Photographs.load(options.stills, device, seed=0)
    test = load_stills(options.test, options.limit)
    if not book.plan:
        options.steps = options.steps or 1
        known = malleconv.Plan.__dataclass_fields__
        plan = malleconv.Plan(**{name: value for name, value in vars(options).items() if name in known})
        book.plan = asdict(plan)
        if options.minutes_per_run:
            slowest = max(malleconv.seconds_per_step(config, plan, data) for config in chosen.values())
            book.plan["steps"] = max(int(options.minutes_per_run * 60 / slowest), 1)
        book.material = {"test": options.test.name, "tested": len(test), "trained": len(data.pictures)}
    plan = malleconv.Plan(**book.plan)
    return lambda config, seed: malleconv.train_cell(config, plan, data, seed, test), plan.float32


def prepare_rt(
    book: StudyFile, _: dict[str, Variant], options: Options, device: torch.device
) -> tuple[Run, bool]:
    """See ``Study``."""
    data = TrainSet.load(options.clips, [options.stills], options.cache, device, seed=0)
    checks = [validation_clip(path, device) for path in options.validate]
    material = {"clips": len(data.clips), "stills": len(data.stills), "tested": len(checks)}
    if not book.plan:
        book.plan = {name: getattr(options, name) for name in rt.Plan.__dataclass_fields__}
        book.material = material
    if book.material != material:
        raise ConfigError(f"{book.path} is about other clips or photographs: {book.material}, not {material}")
    plan = rt.Plan(**book.plan)
    return lambda variant, seed: rt.train_variant(variant.make, plan, data, seed, checks), plan.float32


def about_variant(variant: Variant) -> dict[str, Any]:
    """See ``Study``."""
    size = sum(parameter.numel() for parameter in variant.make().parameters())
    return {"what": variant.what, "parameters": size}


STUDIES = {
    "malleconv": Study(
        cells=cells(),
        about=asdict,
        net=Backbone,
        kmac=kmac_per_pixel,
        prepare=prepare_malleconv,
        milliseconds=malleconv.milliseconds,
        runtime=malleconv.runtime_name,
        report=malleconv.write_report,
    ),
    "rt": Study(
        cells=VARIANTS,
        about=about_variant,
        net=lambda variant: variant.make(),
        kmac=rt_kmac_per_pixel,
        prepare=prepare_rt,
        milliseconds=lambda nets, _: rt.milliseconds(nets),
        runtime=lambda _: rt.runtime_name(),
        report=rt.write_report,
    ),
}


if __name__ == "__main__":
    sys.exit(main())
