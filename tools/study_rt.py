"""What each part of rt-s is worth: variants with one property changed, trained alike, and timed.

    python tools/study_rt.py --clips DIR --stills DIR --validate CLIP... --out study.json --steps 800
    python tools/study_rt.py --out study.json --resume --time --report docs/rt_study.md

Every variant takes the same number of steps by the recipe of tools/train.py --generation 1, and with the same seed
draws the same sequences and the same noise (x264 does not always repeat itself to the last bit). The figures are
written after every run: a cut loses the run it came in. ``--time`` measures milliseconds on this machine, which need
not be the one that trained.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from compiledslice import fastest_slice
from studies.book import Book
from studies.rt import Plan, milliseconds, runtime_name, train_variant, write_report
from studies.rt_variants import VARIANTS, Variant
from training import add_computing_options, computing
from trainset import TrainSet, validation_clip

from malle_rt.errors import ConfigError, MalleError
from malle_rt.net.cost import rt_kmac_per_pixel


def main() -> int:
    """Run the command line."""
    options = parse()
    if options.threads:
        torch.set_num_threads(options.threads)
    chosen = {name: VARIANTS[name] for name in options.only or VARIANTS}
    try:
        book = Book.open(options.out, resume=options.resume)
        book.check({name: about(variant) for name, variant in chosen.items()})
        if options.clips:
            train(book, chosen, options)
        if options.time:
            measure_times(book, chosen)
        if options.report:
            write_report(book, options.report)
    except MalleError as exc:
        print(f"study_rt.py: {exc}", file=sys.stderr)
        return 2 if isinstance(exc, ConfigError) else 1
    return 0


def parse() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=Path, help="folder of near-lossless video clips to train on")
    parser.add_argument("--stills", type=Path, help="folder of photographs to train on")
    parser.add_argument("--validate", type=Path, nargs="+", default=[], help="clips to measure on")
    parser.add_argument(
        "--cache", type=Path, default=Path("runs/trainset.pt"), help="decoded data, made once"
    )
    parser.add_argument("--out", type=Path, required=True, help="the study's file, JSON")
    parser.add_argument("--resume", action="store_true", help="go on with OUT, by its own plan")
    parser.add_argument("--steps", type=int, help="of every run")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each variant")
    parser.add_argument("--only", nargs="+", choices=sorted(VARIANTS), metavar="NAME", help="variants")
    parser.add_argument("--batch", type=int, default=Plan.batch, help="sequences of a step")
    parser.add_argument("--frames", type=int, default=Plan.frames, help="frames of a sequence")
    parser.add_argument(
        "--chunk", type=int, default=Plan.chunk, help="frames back-propagated through at once"
    )
    parser.add_argument("--size", type=int, default=Plan.size, help="side of a frame in pixels")
    parser.add_argument("--rate", type=float, default=Plan.rate, help="largest learning rate")
    add_computing_options(parser)
    parser.add_argument("--time", action="store_true", help="measure milliseconds, on this machine")
    parser.add_argument("--report", type=Path, help="Markdown file to write")
    options = parser.parse_args()
    if options.clips and not (options.stills and options.validate):
        parser.error("--clips needs --stills, and --validate, clips to measure on")
    return options


def train(book: Book, chosen: dict[str, Variant], options: argparse.Namespace) -> None:
    """Make every run that the book lacks: all variants of a seed before the next seed."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    data = TrainSet.load(options.clips, [options.stills], options.cache, device, seed=0)
    checks = [validation_clip(path, device) for path in options.validate]
    material = {"clips": len(data.clips), "stills": len(data.stills), "tested": len(checks)}
    if not book.plan:
        if not options.steps:
            raise ConfigError("a new study needs --steps")
        book.plan = {name: getattr(options, name) for name in Plan.__dataclass_fields__}
        book.material = material
    if book.material != material:
        raise ConfigError(f"{book.path} is about other clips or photographs: {book.material}, not {material}")
    plan = Plan(**book.plan)
    with fastest_slice(device, compiled=options.compiled_slice) as slice_name:
        computes = computing(device, slice_name, float32=plan.float32)
        for seed in range(options.seeds):
            for name, variant in chosen.items():
                if not book.has(name, seed):
                    row = {"cell": name, "seed": seed, "device": computes}
                    book.runs.append(row | train_variant(variant.make, plan, data, seed, checks))
                    describe(book, name, variant)
                    book.write()
                    print(book.runs[-1], flush=True)


def measure_times(book: Book, chosen: dict[str, Variant]) -> None:
    """Milliseconds of each variant on this machine; they do not depend on what it has learned."""
    torch.manual_seed(0)
    times = book.times.setdefault(runtime_name(), {})
    times |= milliseconds({name: variant.make() for name, variant in chosen.items()})
    for name, variant in chosen.items():
        describe(book, name, variant)
    book.write()


def describe(book: Book, name: str, variant: Variant) -> None:
    """Note what a variant is and its arithmetic."""
    book.describe(name, about(variant), rt_kmac_per_pixel(variant.make().eval()))


def about(variant: Variant) -> dict[str, object]:
    """What must not change while a study is being made."""
    size = sum(parameter.numel() for parameter in variant.make().parameters())
    return {"what": variant.what, "parameters": size}


if __name__ == "__main__":
    sys.exit(main())
