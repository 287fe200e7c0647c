"""The study of MalleConv: every network the same steps, crops and noise; its time; and what comes of it, a document."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from evaluation.stills import Still, psnr_of
from torch import nn
from training import autocast, psnr_loss, rate_at
from trainset import Photographs

from malle_rt.errors import ConfigError
from malle_rt.measuring import processor_name
from studies.backbones import ABLATED, SIZES, Backbone, BackboneConfig, ablation
from studies.study_file import CALLS, StudyFile, fastest, openvino_call, table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "PLAIN",
    "Plan",
    "Result",
    "cost_at",
    "gain",
    "milliseconds",
    "plot",
    "results",
    "runtime_name",
    "seconds_per_step",
    "train_cell",
    "write_report",
]

PROBED = 8  # steps, of which the first half only warm up


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What all runs have in common.

    Attributes:
        steps: of every run.
        batch: crops of a step.
        size: side of a crop in pixels, a multiple of every stride.
        rate: largest learning rate.
        sigma: of the noise, in training and in the test, 8-bit scale.
        float32: compute in it even where bfloat16 would be faster.
    """

    steps: int
    batch: int = 16
    size: int = 64
    rate: float = 1e-3
    sigma: float = 25.0
    float32: bool = False


def train_cell(
    config: BackboneConfig, plan: Plan, data: Photographs, seed: int, test: dict[str, Still]
) -> dict[str, Any]:
    """Train one network from its seed and measure it.

    Returns:
        "psnr" in dB on ``test``, None if the run diverged; "loss", the mean of the last tenth; "minutes".
    """
    device = data.noise.device
    step, net = _stepper(config, plan, data, seed)
    begun = time.monotonic()
    tail = [step(index).detach() for index in range(plan.steps)][-max(plan.steps // 10, 1) :]
    loss = float(torch.stack(tail).mean())
    minutes = (time.monotonic() - begun) / 60
    psnr = psnr_of(net.eval(), test, plan.sigma, device) if math.isfinite(loss) else None
    return {"psnr": psnr, "loss": round(loss, 3) if psnr else None, "minutes": round(minutes, 2)}


def seconds_per_step(config: BackboneConfig, plan: Plan, data: Photographs) -> float:
    """How long a step takes here, from a few that are thrown away."""
    step, _ = _stepper(config, plan, data, 0)
    for index in range(PROBED):
        if index == PROBED // 2:
            begun = time.monotonic()
        float(step(index))  # waits for the device
    return (time.monotonic() - begun) / (PROBED - PROBED // 2)


def _stepper(
    config: BackboneConfig, plan: Plan, data: Photographs, seed: int
) -> tuple[Callable[[int], torch.Tensor], nn.Module]:
    """A fresh network, and what takes its step number so and so and returns the loss."""
    drawn = data.again(seed)
    device = drawn.noise.device
    torch.manual_seed(seed)
    net = Backbone(config).to(device).train()
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
    optimizer = torch.optim.AdamW(net.parameters(), lr=plan.rate, weight_decay=1e-4)

    def step(index: int) -> torch.Tensor:
        for group in optimizer.param_groups:
            group["lr"] = plan.rate * rate_at(index / plan.steps, index)
        noisy, clean = drawn.draw(plan.batch, plan.size, (plan.sigma, plan.sigma))
        with autocast(device, float32=plan.float32):
            output = net(noisy)
        loss = psnr_loss(output.float(), clean)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        return loss

    return step, net


HEIGHT, WIDTH = 320, 480  # about a picture of CBSD68, in multiples of every stride


def runtime_name(device: torch.device) -> str:
    """Machine, runtime and precision that ``milliseconds`` measures, in words."""
    size = f"{WIDTH}x{HEIGHT}"
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, torch, bf16, {size}"
    return f"{processor_name()}, OpenVINO, f32, {torch.get_num_threads()} threads, {size}"


def milliseconds(nets: dict[str, nn.Module], device: torch.device) -> dict[str, float]:
    """Time of a picture of 480x320, tensor to tensor, by name.

    Args:
        nets: (N, 3, H, W) to the same, in eval mode, on the CPU; they are moved to the device.
        device: the CPU means OpenVINO with our compiled slice.
    """
    picture = torch.rand(1, 3, HEIGHT, WIDTH)
    threads = torch.get_num_threads()
    return fastest(
        {
            name: _on_gpu(net, picture, device)
            if device.type == "cuda"
            else openvino_call(net, [picture], threads)
            for name, net in nets.items()
        }
    )


def _on_gpu(net: nn.Module, picture: torch.Tensor, device: torch.device) -> Callable[[], object]:
    net, picture = net.to(device, memory_format=torch.channels_last), picture.to(device)  # type: ignore[call-overload]

    def call() -> None:
        with torch.inference_mode(), torch.autocast("cuda", torch.bfloat16):
            net(picture)
        torch.cuda.synchronize(device)

    return call


@dataclass(frozen=True)
class Result:
    """One network of the study.

    Attributes:
        cell: its name.
        kmac: thousands of multiply-adds per pixel.
        psnr: by seed, in dB; runs that diverged have none.
        diverged: how many those were.
        times: ms per picture, by machine and runtime.
    """

    cell: str
    kmac: float
    psnr: dict[int, float]
    diverged: int
    times: dict[str, float]

    @property
    def mean(self) -> float:
        """Over seeds."""
        return statistics.fmean(self.psnr.values())

    @property
    def spread(self) -> float:
        """Standard deviation over seeds; not a number for a single one."""
        return _deviation(list(self.psnr.values()))


def results(book: StudyFile) -> dict[str, Result]:
    """Networks with at least one good run, by name, in the order of their cost."""
    found = {}
    for cell, config in book.cells.items():
        runs = [run for run in book.runs if run["cell"] == cell]
        psnr = {run["seed"]: run["psnr"] for run in runs if run["psnr"] is not None}
        times = {name: each[cell] for name, each in book.times.items() if cell in each}
        if psnr:
            found[cell] = Result(cell, config["kmac_per_pixel"], psnr, len(runs) - len(psnr), times)
    return dict(sorted(found.items(), key=lambda item: item[1].kmac))


def gain(better: Result, other: Result) -> tuple[float, float]:
    """Mean and standard deviation over the common seeds of how many dB one is above the other."""
    differences = [better.psnr[seed] - other.psnr[seed] for seed in better.psnr if seed in other.psnr]
    if not differences:
        return math.nan, math.nan
    return statistics.fmean(differences), _deviation(differences)


def _deviation(values: list[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else math.nan


def cost_at(curve: list[tuple[float, float]], psnr: float) -> float | None:
    """Where a curve of (cost, PSNR) first reaches a PSNR; the cost between points is read off a logarithmic axis.

    Returns:
        None when all of the curve lies on one side.
    """
    points = sorted(curve)
    if not points or points[0][1] > psnr:
        return None
    for (cost, below), (next_cost, above) in pairwise(points):
        if below <= psnr <= above and below < above:
            share = (psnr - below) / (above - below)
            return float(cost * (next_cost / cost) ** share)
    return None


PLAIN = ("matched", "plain", "wider")
"""The plain networks of a size, cheapest first."""
COLOURS = ("#27a", "#a52")  # of the sizes


def plot(found: dict[str, Result], runtimes: list[str], path: Path) -> None:
    """Draw one panel for the arithmetic and one for each runtime that was timed.

    Args:
        found: networks by name.
        runtimes: keys of their times.
        path: of the picture; its extension chooses the format.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2 * (1 + len(runtimes)), 4.2), layout="constrained")
    panels = figure.subplots(1, 1 + len(runtimes), squeeze=False)[0]
    _panel(panels[0], found, {name: each.kmac for name, each in found.items()}, "kMAC per pixel")
    for panel, runtime in zip(panels[1:], runtimes, strict=True):
        times = {name: each.times[runtime] for name, each in found.items() if runtime in each.times}
        _panel(panel, found, times, f"ms ({runtime})")
    panels[0].set_ylabel("PSNR, dB")
    figure.savefig(path, dpi=150)


def _panel(panel: Axes, found: dict[str, Result], costs: dict[str, float], label: str) -> None:
    """The plain networks of a size are joined by a line; bars are the spread over seeds."""
    for size, colour in zip(SIZES, COLOURS, strict=True):
        plain = [f"{size}-{kind}" for kind in PLAIN if f"{size}-{kind}" in costs]
        panel.plot([costs[n] for n in plain], [found[n].mean for n in plain], color=colour, linewidth=1.1)
        for name in (name for name in costs if name.startswith(size)):
            at, mark = (costs[name], found[name].mean), "o" if name in plain else "^"
            panel.errorbar(*at, found[name].spread, fmt=mark, color=colour, capsize=3)
            short = name.split("-")[1]
            panel.annotate(short, at, xytext=(5, -9), textcoords="offset points", fontsize=8)
    panel.set_xscale("log")
    panel.xaxis.set_major_formatter("{x:g}")
    panel.xaxis.set_minor_formatter("{x:g}")
    panel.tick_params(which="both", labelsize=7)
    panel.margins(0.15)
    panel.set_xlabel(label, fontsize=8)
    panel.grid(alpha=0.25, which="both")


TITLE = "# What one MalleConv in a plain backbone buys"


def write_report(book: StudyFile, path: Path) -> None:
    """Write the Markdown file, and the plot under the same name with .png.

    Raises:
        ConfigError: the study holds no run yet.
    """
    found = results(book)
    if not found:
        raise ConfigError(f"{book.path} holds no finished run: train first")
    picture = path.with_suffix(".png")
    plot(found, list(book.times), picture)
    parts = [TITLE, _method(book, found), f"![PSNR against cost]({picture.name})"]
    parts += [_size(size, found) for size in SIZES]
    parts += [_ablated(title, list(names), found) for title, names in ablation().items()]
    parts += [_times(book), _commands(book)]
    path.write_text("\n\n".join(part for part in parts if part) + "\n")


def _method(book: StudyFile, found: dict[str, Result]) -> str:
    plan = Plan(**book.plan)
    minutes = [run["minutes"] for run in book.runs]
    devices = "; ".join(sorted({run["device"] for run in book.runs}))
    seeds = len({run["seed"] for run in book.runs})
    diverged = sum(each.diverged for each in found.values())
    material = book.material
    return f"""Backbone: DnCNN's, RGB (3x3 convolutions at full resolution, batch normalisation, the noise as output).
`malle` has **one** of its inner convolutions replaced by a MalleConv, `matched` is the plain network that comes
closest to the cost of `malle`, `wider` costs more. {material["trained"]} photographs, white noise of sigma
{plan.sigma:g}, AdamW, cosine from a rate of {plan.rate:g}, {plan.batch} crops of {plan.size}x{plan.size} a step.
Tested on {material["tested"]} pictures of `{material["test"]}`, the noise neither clipped nor rounded.

**Every run took {plan.steps} steps, {min(minutes):.1f} to {max(minutes):.1f} minutes on {devices}. Seeds: {seeds}.
Runs that diverged: {diverged}.** With the same seed all networks see the same crops and the same noise. Trainings as
short as this order networks; they do not rank them for good, and every figure would be higher after a long one.
± is the standard deviation over seeds."""


def _size(size: str, found: dict[str, Result]) -> str:
    names = [f"{size}-{kind}" for kind in ("malle", *PLAIN)]
    if not found.keys() & names:
        return ""
    lines = [f"## The {size} network ({SIZES[size].depth} layers of {SIZES[size].width} channels)", ""]
    lines += [_table(names, found), "", *_verdicts(size, found)]
    return "\n".join(lines)


def _verdicts(size: str, found: dict[str, Result]) -> list[str]:
    malle = found.get(f"{size}-malle")
    plain = {kind: found[f"{size}-{kind}"] for kind in PLAIN if f"{size}-{kind}" in found}
    if malle is None:
        return []
    said = []
    for kind, words in (("matched", "At equal cost"), ("plain", "In the place of a convolution")):
        if kind in plain:
            mean, spread = gain(malle, plain[kind])
            share = malle.kmac / plain[kind].kmac
            said.append(
                f"* {words} (`{kind}`, {share:.0%} of its arithmetic): **{mean:+.2f}{_spread(spread)} dB**."
            )
    curve = [(each.kmac, each.mean) for each in plain.values()]
    said.append(f"* At equal dB, arithmetic: {_equal_quality(curve, malle.kmac, malle.mean)}.")
    for runtime, ms in malle.times.items():
        curve = [(each.times[runtime], each.mean) for each in plain.values() if runtime in each.times]
        said.append(f"* At equal dB, time ({runtime}): {_equal_quality(curve, ms, malle.mean)}.")
    return said


def _equal_quality(curve: list[tuple[float, float]], cost: float, psnr: float) -> str:
    """What plain networks of this depth would cost for the same PSNR."""
    at = cost_at(curve, psnr)
    if at is not None:
        return f"plain layers need **{at / cost:.2f} times** as much"
    if curve and psnr > max(value for _, value in curve):
        return f"none of the plain ones gets there, the costliest at {max(curve)[0] / cost:.2f} times as much"
    return "even the cheapest of the plain ones is better" if curve else "no plain one was measured"


def _ablated(title: str, names: list[str], found: dict[str, Result]) -> str:
    if len(found.keys() & names) < 2:
        return ""
    return f"## Ablation of the {ABLATED} network: {title}\n\n{_table(names, found)}"


def _table(names: list[str], found: dict[str, Result]) -> str:
    rows = [found[name] for name in names if name in found]
    runtimes = list(dict.fromkeys(runtime for row in rows for runtime in row.times))
    heads = ["network", "kMAC/px", *(f"ms [{i + 1}]" for i in range(len(runtimes))), "PSNR, dB", "seeds"]
    return table(heads, [_cells(row, runtimes) for row in rows])


def _cells(row: Result, runtimes: list[str]) -> list[str]:
    times = [f"{row.times[each]:.2f}" if each in row.times else "-" for each in runtimes]
    psnr = f"{row.mean:.2f}{_spread(row.spread)}"
    return [row.cell, f"{row.kmac:.1f}", *times, psnr, str(len(row.psnr))]


def _spread(deviation: float) -> str:
    return "" if math.isnan(deviation) else f" ± {deviation:.2f}"


def _times(book: StudyFile) -> str:
    return "\n".join(
        f"[{index + 1}] {name}, the networks in turn, the fastest of {CALLS} calls."
        for index, name in enumerate(book.times)
    )


def _commands(book: StudyFile) -> str:
    plan = Plan(**book.plan)
    options = f"--steps {plan.steps} --batch {plan.batch} --size {plan.size} --rate {plan.rate:g}"
    return f"""## Again

```
python tools/study.py malleconv --stills DIR --test DIR --out {book.path.name} {options}
python tools/study.py malleconv --out {book.path.name} --resume --time --report docs/malleconv_study.md
```"""
