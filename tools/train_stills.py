"""Train a MalleNet preset on photographs with white noise of every strength; stops and resumes anywhere.

    python tools/train_stills.py --preset mallenet-s --stills DIR --out runs/mallenet-s --budget 120
    python tools/train_stills.py ... --resume
    python tools/train_stills.py --preset mallenet-m --grow-from engines/mallenet-s.safetensors ...
    python tools/evaluate.py --model runs/mallenet-s/best.safetensors --images CBSD68 --sigma 15 25 50

The network is blind: sigma 0 to 55, never told. The loss is the PSNR itself, the figure that counts: the logarithm
of each crop's squared error. Under L1 or Charbonnier the noisiest crops would make most of the gradient. Nothing is
clipped, since a clipped output has no gradient.

The learning rate follows a cosine over the budget, so that a run is finished whenever its minutes are. The folder
``--out`` holds last.pt (everything needed to resume, written every 5 minutes and when the run is asked to stop by
SIGTERM or Ctrl-C), best.safetensors (float16, the averaged weights with the best validation) and log.jsonl. A run
that diverges goes back to last.pt and on at half the rate, and says so in the log; every start says there what it
computes with, as that of ``tools/train.py`` does.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from compiledslice.install import fastest_slice
from evaluation.stills import load_stills
from stills.photographs import Photographs
from stills.run import Diverged, Recipe, Run
from training import Stop, add_computing_options, append_row, computing

from malle_rt.errors import MalleError
from malle_rt.net.mallenet import STILLS_PRESETS
from malle_rt.net.weights import load_stills_net


def main() -> int:
    """Run the command line."""
    options = parse()
    if options.threads:
        torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    if not options.resume and (options.out / "last.pt").exists():
        return failed(f"{options.out} holds a run already: pass --resume, or another --out", 2)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cudnn.benchmark = True  # every crop has the same size
    try:
        run = start(options, device)
        if options.resume:
            run.resume()
        with fastest_slice(device, compiled=options.compiled_slice) as slice_name, Stop() as stop:
            computes = computing(device, slice_name, float32=options.float32)
            append_row({"step": run.step, "computes": computes}, options.out / "log.jsonl")
            run.train(stop.asked)
    except (ValueError, FileNotFoundError, MalleError, Diverged) as exc:
        return failed(str(exc), 1)
    return 128 + stop.signal if stop.signal else 0


def failed(reason: str, code: int) -> int:
    """Say why on the standard error."""
    print(f"train_stills.py: {reason}", file=sys.stderr)
    return code


def start(options: argparse.Namespace, device: torch.device) -> Run:
    """A fresh run of what the options say."""
    recipe = Recipe(
        steps=options.steps,
        minutes=options.budget,
        batch=options.batch,
        size=options.size,
        rate=options.rate,
        seed=options.seed,
        channels_last=options.channels_last,
        float32=options.float32,
    )
    checks = load_stills(options.validate, options.limit) if options.validate else {}
    data = Photographs.load(options.stills, device, options.seed)
    small = load_stills_net(options.grow_from) if options.grow_from else None
    return Run(STILLS_PRESETS[options.preset], recipe, data, options.out, checks, small)


def parse() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", choices=sorted(STILLS_PRESETS), default="mallenet-s")
    parser.add_argument("--stills", type=Path, required=True, help="folder of photographs to train on")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--budget", type=float, help="minutes of training in all, resumed runs included")
    length.add_argument("--steps", type=int, help="instead: steps in all")
    begin = parser.add_mutually_exclusive_group()
    begin.add_argument("--resume", action="store_true", help="go on from OUT/last.pt")
    begin.add_argument("--grow-from", type=Path, help="weights of this or a smaller preset to start from")
    parser.add_argument("--validate", type=Path, help="folder of photographs to measure on")
    parser.add_argument("--limit", type=int, default=12, help="how many of them")
    parser.add_argument("--batch", type=int, default=Recipe.batch, help="crops of a step")
    parser.add_argument("--size", type=int, default=Recipe.size, help="side of a crop, a multiple of 64")
    parser.add_argument("--rate", type=float, default=Recipe.rate, help="largest learning rate")
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    parser.add_argument(
        "--channels-last", action=argparse.BooleanOptionalAction, default=True, help="memory order"
    )
    add_computing_options(parser)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
