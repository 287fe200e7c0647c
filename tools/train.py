"""Train a preset, of MalleNet-RT for video or MalleNet for stills; stops and goes on anywhere.

    python tools/train.py --preset rt-s --clips DIR --stills DIR --out runs/rt-s --budget 120
    python tools/train.py --preset mallenet-s --stills DIR --out runs/mallenet-s --budget 120
    python tools/train.py ... --resume
    python tools/train.py --preset rt-s --start-from engines/next/rt-s.safetensors ...
    python tools/train.py --preset mallenet-m --grow-from engines/mallenet-s.safetensors ...

A video's rate stays where it is after a warm-up, so that a run may go on for as long as there is time; ``--settle
MINUTES`` lets it fall to nothing over the last of them. A stills network's follows a cosine over the whole run, as a
video's does with ``--cosine``. Video networks are of the second generation, or with ``--generation 1`` of the first.

What is measured and kept are averaged weights. The folder ``--out`` holds last.pt (everything needed to resume),
average.safetensors, best.safetensors (those that measured best) and log.jsonl. When SIGTERM or Ctrl-C asks it to stop,
it ends the batch and saves them. A run that diverges goes back to last.pt and on at half the rate, and says so in the
log; every start says there what it computes with: GPUs, and CPUs that can, in bfloat16; CPUs with the slice and its
gradient compiled, once for a checkout, by the C++ compiler at hand. ``--workers`` keeps a GPU busy: so many processes
make the batches of videos while steps are taken. The weights are the same, to the last bit.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from compiledslice import fastest_slice
from evaluation.stills import Still, load_stills, psnr_of
from training import (
    Diverged,
    Recipe,
    Run,
    Stop,
    add_computing_options,
    append_row,
    autocast,
    computing,
    grow,
    psnr_loss,
)
from trainset import Photographs, TrainSet, validation_clip
from video_task import FIRST, SECOND, Ahead, VideoRecipe, VideoTask, begun_by

from malle_rt.errors import MalleError
from malle_rt.net.mallenet import STILLS_PRESETS, MalleNet, MalleNetConfig
from malle_rt.net.weights import load_stills_net


def main() -> int:
    """Run the command line."""
    options = parse()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu" and options.threads:
        torch.set_num_threads(options.threads)
    if not options.resume and (options.out / "last.pt").exists():
        return failed(f"{options.out} holds a run already: pass --resume, or another --out", 2)
    torch.backends.cudnn.benchmark = True  # every crop has the same size
    try:
        with (
            ExitStack() as undo,
            fastest_slice(device, compiled=options.compiled_slice) as slice_name,
            Stop() as stop,
        ):
            stills = options.preset in STILLS_PRESETS
            run = stills_run(options, device) if stills else video_run(options, device, undo)
            options.out.mkdir(parents=True, exist_ok=True)
            if options.resume:
                run.resume()
            computes = computing(device, slice_name, float32=options.float32)
            append_row({"step": run.step, "computes": computes}, options.out / "log.jsonl")
            run.train(stop.asked)
    except (ValueError, FileNotFoundError, MalleError, Diverged, BrokenExecutor) as exc:
        return failed(str(exc), 1)
    return 128 + stop.signal if stop.signal else 0


def failed(reason: str, code: int) -> int:
    """Say why on the standard error."""
    print(f"train.py: {reason}", file=sys.stderr)
    return code


def parse() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    presets = sorted({*FIRST.fresh, *SECOND.fresh, *STILLS_PRESETS})
    parser.add_argument("--preset", choices=presets, default="rt-s")
    parser.add_argument("--generation", type=int, choices=(1, 2), default=2, help="of a network for video")
    parser.add_argument("--clips", type=Path, help="video: folder of near-lossless clips")
    parser.add_argument(
        "--stills", type=Path, nargs="+", required=True, help="folders of photographs, of drawings"
    )
    parser.add_argument(
        "--validate",
        type=Path,
        nargs="*",
        default=[],
        help="clips, or a folder of photographs, to measure on",
    )
    parser.add_argument("--limit", type=int, default=12, help="stills: how many of the photographs")
    parser.add_argument(
        "--cache", type=Path, default=Path("runs/trainset.pt"), help="video: decoded data, made once"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--budget", type=float, help="minutes of training in all, resumed runs included")
    length.add_argument("--steps", type=int, help="instead: steps in all")
    fall = parser.add_mutually_exclusive_group()
    fall.add_argument("--settle", type=float, help="minutes at the end in which the rate falls; video: 0")
    fall.add_argument("--cosine", action="store_true", help="the rate falls all the time, as for stills")
    begin = parser.add_mutually_exclusive_group()
    begin.add_argument("--resume", action="store_true", help="go on from OUT/last.pt")
    begin.add_argument("--start-from", type=Path, help="video: weights to go on from")
    begin.add_argument("--grow-from", type=Path, help="weights of this or a smaller preset to start from")
    parser.add_argument("--batch", type=int, help="sequences (4), or crops (16)")
    parser.add_argument("--frames", type=int, default=VideoRecipe.frames, help="video: frames of a sequence")
    parser.add_argument(
        "--chunk", type=int, default=VideoRecipe.chunk, help="video: frames back-propagated through at once"
    )
    parser.add_argument(
        "--workers", type=int, default=0, help="video: processes that make batches ahead; for GPUs"
    )
    parser.add_argument("--size", type=int, default=Recipe.size, help="side of a frame or crop in pixels")
    parser.add_argument("--rate", type=float, default=Recipe.rate, help="largest learning rate")
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    parser.add_argument(
        "--channels-last", action=argparse.BooleanOptionalAction, default=True, help="memory order"
    )
    add_computing_options(parser)
    options = parser.parse_args()
    _check(parser, options)
    return options


def _check(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Refuse options that the chosen task does not have."""
    if options.settle is not None and not options.budget:
        parser.error("--settle needs --budget")
    if options.preset in STILLS_PRESETS:
        if options.clips or options.start_from:
            parser.error(f"{options.preset} is for stills: it takes neither --clips nor --start-from")
        if len(options.stills) > 1 or len(options.validate) > 1:
            parser.error(f"{options.preset} takes one folder of --stills, and one to --validate on")
    elif not options.clips:
        parser.error(f"{options.preset} is for video: it needs --clips")
    elif options.preset not in (FIRST, SECOND)[options.generation - 1].fresh:
        parser.error(f"generation {options.generation} has no {options.preset}")


def video_run(options: argparse.Namespace, device: torch.device, undo: ExitStack) -> Run[Any]:
    """A fresh run of a video network; processes that make its batches end with ``undo``."""
    generation = (FIRST, SECOND)[options.generation - 1]
    settle = None if options.cosine else options.settle or 0.0
    recipe = VideoRecipe(
        **common(options),
        batch=options.batch or VideoRecipe.batch,
        frames=options.frames,
        chunk=options.chunk,
        settle=settle,
    )
    of_data = torch.device("cpu") if options.workers else device
    data = TrainSet.load(options.clips, options.stills, options.cache, of_data, options.seed)
    ahead = undo.enter_context(Ahead(options.workers, data)) if options.workers else None
    checks = {path.name.partition(".")[0]: validation_clip(path, device) for path in options.validate}
    begin = begun_by(generation, options.preset, start_from=options.start_from, grow_from=options.grow_from)
    task = VideoTask(generation, begin, data, checks, ahead=ahead, device=device)
    return Run(task, recipe, options.out)


def stills_run(options: argparse.Namespace, device: torch.device) -> Run[Any]:
    """A fresh run of a stills network."""
    recipe = Recipe(**common(options), batch=options.batch or 16, settle=options.settle)
    checks = load_stills(options.validate[0], options.limit) if options.validate else {}
    data = Photographs.load(options.stills[0], device, options.seed)
    small = load_stills_net(options.grow_from) if options.grow_from else None
    return Run(StillsTask(STILLS_PRESETS[options.preset], data, checks, small), recipe, options.out)


def common(options: argparse.Namespace) -> dict[str, Any]:
    """What every task's recipe has."""
    return {
        "steps": options.steps,
        "minutes": options.budget,
        "size": options.size,
        "rate": options.rate,
        "seed": options.seed,
        "channels_last": options.channels_last,
        "float32": options.float32,
    }


BLIND = (0.0, 55.0)  # sigma of the training noise, 8-bit scale
VALIDATED = (15.0, 25.0, 50.0)


class StillsTask:
    """A stills network, see ``training.Task``: photographs with white noise of every strength.

    The network is blind: sigma 0 to 55, never told. The loss is the PSNR itself, the figure that counts: the logarithm
    of each crop's squared error. Under L1 or Charbonnier the noisiest crops would make most of the gradient. Nothing is
    clipped, since a clipped output has no gradient.

    Args:
        config: of the network.
        data: on the device to train on.
        checks: clean photographs to measure on; without any, the newest weights count as the best.
        small: a trained network to grow the new one from.
    """

    exploded = 6.0  # chance moves it by less than one
    steepest = 1.0
    seconds_between_checks = 300.0
    dtype = torch.float16

    def __init__(
        self,
        config: MalleNetConfig,
        data: Photographs,
        checks: dict[str, Still],
        small: MalleNet | None = None,
    ) -> None:
        self.config, self.data, self.checks, self.small = config, data, checks, small
        self.device = data.noise.device
        self.state: Callable[[], Any] = data.state
        self.restore: Callable[[Any], None] = data.restore

    def network(self) -> MalleNet:
        """A fresh one, or one grown from the small one; ``ValueError`` where that does not fit."""
        net = MalleNet(self.config)
        if self.small:
            grow(net, self.small)
        return net

    def batch(self, run: Run[MalleNet]) -> None:
        """One step on fresh crops."""
        noisy, clean = self.data.draw(run.recipe.batch, run.recipe.size, BLIND)
        with autocast(self.device, float32=run.recipe.float32):
            output = run.net(noisy)
        run.learn(psnr_loss(output.float(), clean))

    def check(self, average: MalleNet) -> tuple[dict[str, Any], float | None]:
        """PSNR in dB by sigma."""
        if not self.checks:
            return {"psnr": {}}, None
        psnr = {f"{sigma:g}": psnr_of(average, self.checks, sigma, self.device) for sigma in VALIDATED}
        return {"psnr": {sigma: round(value, 3) for sigma, value in psnr.items()}}, sum(psnr.values())


if __name__ == "__main__":
    sys.exit(main())
