"""A training run, whatever it trains: steps, rate, averaged weights, checkpoints, and the way back when it diverges.

What is trained is a ``Task``: a network, its material, what one batch teaches, and how it is measured.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from malle_rt.net.mallenet import InvertedBottleneck
from malle_rt.net.weights import Network, save_network

__all__ = [
    "Diverged",
    "Recipe",
    "Run",
    "Stop",
    "Task",
    "add_computing_options",
    "append_row",
    "autocast",
    "computing",
    "grow",
    "psnr_loss",
    "rate_at",
]

EMA = 0.999
FLOOR = 1.5  # root mean square error on the 8-bit scale
WARM_UP = 200  # steps
SETTLED = 0.005  # of the largest rate: where it falls to
# Losses are read together: reading one waits for the device.
WINDOW = 20  # steps
HALVINGS = 6  # of the rate, before a run is given up


class Diverged(RuntimeError):
    """The run went wrong again and again, whatever the rate."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train.

    Attributes:
        steps: length of the run; None when ``minutes`` says it.
        minutes: of training, resumed runs included; checks come on top.
        settle: minutes at the end in which the rate falls, constant before; None: it falls by a cosine all the time.
        batch: crops or sequences that are learnt from at once.
        size: their side in pixels.
        rate: largest learning rate.
        seed: of the weights, the material and the noise.
        channels_last: memory order of the network.
        float32: compute in it even where bfloat16 would be faster.
    """

    steps: int | None = None
    minutes: float | None = None
    settle: float | None = None
    batch: int
    size: int = 128
    rate: float = 1e-3
    seed: int = 0
    channels_last: bool = True
    float32: bool = False


Net = TypeVar("Net", bound=Network)


class Task(Protocol[Net]):
    """What is trained."""

    device: torch.device
    exploded: float
    """dB that the loss of some steps may lie above the lowest; more is divergence, and so is what is not finite."""
    steepest: float
    """Largest norm of the gradient."""
    seconds_between_checks: float
    dtype: torch.dtype
    """Of the weights that are kept."""

    def network(self) -> Net:
        """What a run begins with, from torch's own seed."""
        ...

    def batch(self, run: Run[Net]) -> None:
        """Draw one batch and learn from it, by one or more calls of ``run.learn``."""
        ...

    def state(self) -> Any:
        """Of all generators, for a checkpoint."""
        ...

    def restore(self, state: Any) -> None:
        """Take up what ``state`` gave."""
        ...

    def check(self, average: Net) -> tuple[dict[str, Any], float | None]:
        """Figures for the log, and their sum, which is higher for better weights; None where nothing was measured."""
        ...


class Run(Generic[Net]):
    """A network in training and everything that its checkpoint must hold.

    Args:
        task: what is trained.
        recipe: how.
        folder: of the run: last.pt, average.safetensors, best.safetensors and log.jsonl come to lie here.
    """

    def __init__(self, task: Task[Net], recipe: Recipe, folder: Path) -> None:
        self.task, self.recipe, self.folder = task, recipe, folder
        torch.manual_seed(recipe.seed)
        net: Any = task.network().to(task.device)
        if recipe.channels_last:
            net.to(memory_format=torch.channels_last)
        self.net: Net = net.train().requires_grad_(True)
        self.average: Net = copy.deepcopy(net).requires_grad_(False).eval()
        self.optimizer = torch.optim.AdamW(self.net.parameters(), lr=recipe.rate, weight_decay=1e-4)
        self.step = 0
        self.spent = 0.0  # seconds of training so far
        self.best = -math.inf  # of the sums of figures
        self.lowest = 0.0  # loss of the best window; 0 dB is white for black
        self.halvings = 0
        self._rated = 0, 0.0  # steps and seconds at the last check
        self._pending: list[Tensor] = []  # losses that nobody has read yet
        self._windows: list[float] = []  # mean losses since the last check

    @property
    def progress(self) -> float:
        """Share of the run that is done."""
        if self.recipe.minutes is not None:
            return self.spent / (self.recipe.minutes * 60)
        return self.step / (self.recipe.steps or 1)

    @property
    def rate(self) -> float:
        """Learning rate of the next step."""
        settle, minutes = self.recipe.settle, self.recipe.minutes
        if settle is None:
            share = rate_at(self.progress, self.step)
        else:
            left = (minutes or math.inf) - self.spent / 60
            share = min(1.0, max(left, 0.0) / settle) if settle else 1.0
            share = max(share, SETTLED) * min(1, (self.step + 1) / WARM_UP)
        return self.recipe.rate * 0.5**self.halvings * share

    def train(self, stopping: Callable[[], bool]) -> None:
        """Until the run is done or ``stopping``, after a whole batch; either way the last step is in last.pt.

        Raises:
            Diverged: when halving the rate did not help.
        """
        if self.progress >= 1:
            return
        if self.step == 0:
            self.save()  # what a run that diverges at once goes back to
        checked = self.spent
        while self.progress < 1 and not stopping():
            begun = time.monotonic()
            self.task.batch(self)
            if len(self._pending) >= WINDOW:
                self.look()
            self.spent += time.monotonic() - begun
            if self.spent - checked > self.task.seconds_between_checks:
                checked = self.spent
                self.check()
        if self.progress >= 1:
            self.check()
        elif self.look():
            self.save()

    def learn(self, loss: Tensor) -> None:
        """One step of the optimiser."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.net.parameters(), self.task.steepest)
        self.optimizer.step()
        self.step += 1
        _follow(self.average, self.net, self.step)
        self._pending.append(loss.detach())

    def look(self) -> bool:
        """Read the losses since the last look; False when they had diverged and the run went back."""
        if not self._pending:
            return True
        mean, count = float(torch.stack(self._pending).mean()), len(self._pending)
        self._pending.clear()
        # A finite loss can leave a gradient that is not, and with it the weights.
        sound = bool(torch.stack([value.isfinite().all() for value in self.net.parameters()]).all())
        if not sound or not math.isfinite(mean) or mean > self.lowest + self.task.exploded:
            self._go_back(mean)
            return False
        if count >= WINDOW:  # a few steps alone can be low by chance
            self.lowest = min(self.lowest, mean)
        self._windows.append(mean)
        return True

    def _go_back(self, loss: float) -> None:
        """To the last checkpoint, at half the rate; the material goes on, so that the same batch does not return."""
        at, halvings = self.step, self.halvings + 1
        spent, drawn = self.spent, self.task.state()
        self.resume()
        self.spent, self.halvings = spent, halvings
        self.task.restore(drawn)
        row = {"diverged_at": at, "loss": str(loss), "back_to": self.step, "largest_rate": self.recipe.rate}
        append_row(row | {"halvings": halvings}, self.folder / "log.jsonl")
        if halvings > HALVINGS:
            raise Diverged(
                f"diverged {halvings} times, the last at step {at}: start again with a lower --rate"
            )
        self.save()

    def check(self) -> None:
        """Save, measure the averaged weights, log, and keep them when they are the best so far."""
        if not self.look():
            return
        self.save()
        figures, score = self.task.check(self.average)
        row = {
            "step": self.step,
            "minutes": round(self.spent / 60, 2),
            "steps_per_second": round(
                (self.step - self._rated[0]) / max(self.spent - self._rated[1], 1e-9), 2
            ),
            "loss": round(sum(self._windows) / max(len(self._windows), 1), 3),
            "rate": self.rate,
        }
        self._windows.clear()
        self._rated = self.step, self.spent
        append_row(row | figures, self.folder / "log.jsonl")
        if score is None or score >= self.best:
            self.best = self.best if score is None else score
            self._keep("best")
            self.save()

    def save(self) -> None:
        """Write last.pt and the averaged weights, each whole or not at all."""
        saved = {
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.task.state(),
            "step": self.step,
            "spent": self.spent,
            "best": self.best,
            "lowest": self.lowest,
            "halvings": self.halvings,
        }
        partial = self.folder / "last.partial"
        torch.save(saved, partial)
        partial.replace(self.folder / "last.pt")
        self._keep("average")

    def _keep(self, name: str) -> None:
        path, note = self.folder / f"{name}.safetensors", {"step": str(self.step)}
        save_network(self.average, path, dtype=self.task.dtype, note=note)

    def resume(self) -> None:
        """Take up last.pt; the last three of its values are not in those of earlier versions."""
        saved = torch.load(self.folder / "last.pt", map_location="cpu", weights_only=True)
        self.net.load_state_dict(saved["net"])
        self.average.load_state_dict(saved["average"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.task.restore(saved["generator"])
        self.step, self.spent = self._rated = saved["step"], saved["spent"]
        self.best = saved.get("best", self.best)
        self.lowest, self.halvings = saved.get("lowest", self.lowest), saved.get("halvings", self.halvings)


class Stop:
    """Within it, SIGTERM and Ctrl-C only set a flag that the training loop looks at between two steps."""

    def __init__(self) -> None:
        self.signal = 0

    def __enter__(self) -> Stop:
        self._before = {each: signal.signal(each, self._note) for each in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def asked(self) -> bool:
        """Whether to stop."""
        return self.signal != 0

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = number


def psnr_loss(output: Tensor, target: Tensor) -> Tensor:
    """Mean over pictures (..., C, H, W) of 10 log10 of each one's squared error: every noise level counts the same.

    Below the floor it levels off: the slope goes with 1 / error, and nearly clean pictures would drown the rest.
    """
    error = (output - target).square().mean((-3, -2, -1))
    return 10 * torch.log10(error + (FLOOR / 255) ** 2).mean()


def rate_at(progress: float, step: int) -> float:
    """Learning rate as a share of the largest: a cosine down to 0.5 %, after a linear warm-up.

    Args:
        progress: share of the run that is done; more than 1 counts as 1.
        step: optimiser steps so far.
    """
    cosine = SETTLED + (1 - SETTLED) * 0.5 * (1 + math.cos(math.pi * min(progress, 1)))
    return cosine * min(1, (step + 1) / WARM_UP)


def autocast(device: torch.device, *, float32: bool = False) -> torch.autocast:
    """The context to run a network in: bfloat16 where the device computes in it, else float32; see ``computing``.

    Args:
        device: to train on.
        float32: whatever the device can do.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=not float32 and _computes_in_bfloat16(device))


def _computes_in_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for it; without any, bfloat16 is slower than float32."""
    if device.type == "cuda":
        return True
    # Older versions of torch cannot tell; they stay with float32.
    capabilities: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return device.type == "cpu" and any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))


def computing(device: torch.device, slice_name: str, *, float32: bool = False) -> str:
    """What a run computes with, for its log: "CPU, 2 threads, bfloat16, compiled slice"."""
    where = _threads() if device.type == "cpu" else torch.cuda.get_device_name(device)
    short = not float32 and _computes_in_bfloat16(device)
    return f"{where}, {'bfloat16' if short else 'float32'}, {slice_name}"


def _threads() -> str:
    count = torch.get_num_threads()
    return f"CPU, {count} thread{'s' if count > 1 else ''}"


def add_computing_options(parser: argparse.ArgumentParser) -> None:
    """Add what every training program lets its user choose: ``threads``, ``float32``, ``compiled_slice``."""
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 leaves it to torch")
    parser.add_argument(
        "--float32", action="store_true", help="compute in float32 where bfloat16 would be faster"
    )
    parser.add_argument(
        "--no-compiled-slice",
        dest="compiled_slice",
        action="store_false",
        help="on a CPU: leave malle_slice to torch, which is slower but needs no C++ compiler",
    )


@torch.no_grad()
def _follow(average: nn.Module, net: nn.Module, step: int) -> None:
    """Move averaged weights towards the network's; early on they follow faster.

    Args:
        average: a copy of the network, changed in place.
        net: just after an optimiser step.
        step: optimiser steps so far, this one included.
    """
    towards = get_ema_multi_avg_fn(min(EMA, step / (step + 10)))
    towards(list(average.parameters()), list(net.parameters()), step)


def append_row(row: dict[str, Any], path: Path) -> None:
    """Print a row of the log and add it to its file, one JSON object a line."""
    line = json.dumps(row)
    with path.open("a") as log:
        log.write(line + "\n")
    print(line, flush=True)


Convolution = nn.Conv2d | nn.ConvTranspose2d


@torch.no_grad()
def grow(large: nn.Module, small: nn.Module) -> None:
    """Start a large network where a small one has come to, instead of from nothing.

    Chen, Goodfellow, Shlens, "Net2Net: Accelerating Learning via Knowledge Transfer", ICLR 2016, in its simplest form:
    the small network's channels are the first ones of the large network's layers and hear nothing of the new ones,
    which are drawn at random and join in as training opens their weights. Of the layers that only the large network
    has, those of the trunk pass the old channels through, what reads an output of its own from the trunk begins with
    zeros, and so does what a residual block adds.

    Both are of one class, of convolutions alone. Equally deep, the large one then computes exactly what the small one
    does, and so it does with more residual blocks; a layer more, behind a leaky rectifier, costs a little of that, and
    so does a finer grid of kernels.

    Args:
        large: freshly made; changed in place.
        small: trained; no layer of it is wider or missing in ``large``.

    Raises:
        ValueError: it does not fit.
    """
    known = _convolutions(small)
    wider = _convolutions(large)
    if not known.keys() <= wider.keys():
        raise ValueError(f"the small network has layers of its own: {sorted(known.keys() - wider.keys())}")
    outputs = 0  # of the last layer that both have
    added = _added_blocks(large, small)
    for name, layer in wider.items():
        if name in known:
            _take_over(name, layer, known[name])
            outputs = known[name].out_channels
        elif name in added:
            continue
        elif layer.in_channels == layer.out_channels:
            _pass_through(layer, outputs)
        else:
            nn.init.zeros_(layer.weight)


def _convolutions(net: nn.Module) -> dict[str, Convolution]:
    return {name: each for name, each in net.named_modules() if isinstance(each, Convolution)}


def _added_blocks(large: nn.Module, small: nn.Module) -> set[str]:
    """Layers of the residual blocks that only the large network has; the last of each now gives zeros."""
    known = dict(small.named_modules())
    names: set[str] = set()
    for name, block in large.named_modules():
        if isinstance(block, InvertedBottleneck) and name not in known:
            layers = _convolutions(block)
            names |= {f"{name}.{each}" for each in layers}
            *_, last = layers.values()
            for value in last.parameters():
                nn.init.zeros_(value)
    return names


def _take_over(name: str, layer: Convolution, old: Convolution) -> None:
    """The old layer's weights, and none from the new inputs to its outputs."""
    if layer.kernel_size != old.kernel_size or layer.stride != old.stride:
        raise ValueError(f"{name}: kernel {old.kernel_size} does not fit into {layer.kernel_size}")
    target, source = _by_output(layer), _by_output(old)
    outputs, inputs = source.shape[:2]
    if target.shape[0] < outputs or target.shape[1] < inputs:
        raise ValueError(f"{name}: {tuple(source.shape)} does not fit into {tuple(target.shape)}")
    target[:outputs, :inputs] = source
    target[:outputs, inputs:] = 0
    if layer.bias is not None and old.bias is not None:
        layer.bias[:outputs] = old.bias


def _pass_through(layer: Convolution, channels: int) -> None:
    """The first channels of the input become those of the output."""
    layer.weight[:channels] = nn.init.dirac_(torch.empty_like(layer.weight))[:channels]


def _by_output(layer: Convolution) -> Tensor:
    """A view of the weights, (outputs, inputs, rows, columns)."""
    return layer.weight.transpose(0, 1) if isinstance(layer, nn.ConvTranspose2d) else layer.weight
