"""The study of MalleNet-RT: every variant the same steps, the same sequences, the same noise; and its document."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import torch
from export import PortableRT, example
from torch import Tensor
from training import Run
from trainset import TrainSet
from video_task import FIRST, VideoRecipe, VideoTask, denoise, noisy_clip

from malle_rt.errors import ConfigError
from malle_rt.measuring import processor_name
from malle_rt.net.rt import MalleNetRT, RTState
from studies.rt_variants import BASE, VARIANTS
from studies.study_file import CALLS, StudyFile, fastest, openvino_call, table

__all__ = [
    "SIGMAS",
    "Plan",
    "difference",
    "measure",
    "milliseconds",
    "runtime_name",
    "train_variant",
    "write_report",
]

SIGMAS = (10, 25, 50)
HEIGHT, WIDTH = 360, 640


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What all runs have in common; names as the options of ``tools/train.py``.

    Attributes:
        steps: of every run.
        batch: sequences of a step.
        frames: of a sequence.
        chunk: frames back-propagated through at once.
        size: side of a frame in pixels.
        rate: largest learning rate.
        float32: compute in it even where bfloat16 would be faster.
    """

    steps: int
    batch: int = 4
    frames: int = 12
    chunk: int = 6
    size: int = 96
    rate: float = 1.8e-3
    float32: bool = False


def train_variant(
    make: Callable[[], MalleNetRT], plan: Plan, data: TrainSet, seed: int, checks: list[Tensor]
) -> dict[str, Any]:
    """Train one variant from its seed and measure its averaged weights.

    Returns:
        "psnr": what ``measure`` gives, by sigma, None if the run diverged; "minutes".
    """
    data.generator.manual_seed(seed)
    task = VideoTask(FIRST, make, data, {})
    run = Run(task, VideoRecipe(**asdict(plan), seed=seed), Path())
    begun = time.monotonic()
    while run.progress < 1:
        task.batch(run)
    minutes = round((time.monotonic() - begun) / 60, 2)
    psnr = {str(sigma): measure(cast(MalleNetRT, run.average), checks, sigma) for sigma in SIGMAS}
    good = all(math.isfinite(value) for planes in psnr.values() for value in planes.values())
    return {"psnr": psnr if good else None, "minutes": minutes}


def measure(net: MalleNetRT, clips: list[Tensor], sigma: float) -> dict[str, float]:
    """PSNR in dB of the last four frames, mean over clips: "y", and "uv" of both chroma planes together."""
    errors = []
    for clip in clips:
        noisy, clean = noisy_clip(clip, str(sigma), seed=int(sigma))
        output = denoise(FIRST, net, noisy, FIRST.told(noisy, clean))
        pairs = zip(output, clean, strict=True)
        errors.append(torch.stack([(got[-4:] - wanted[-4:]).square().mean() for got, wanted in pairs]))
    y, uv = (-10 * torch.stack(errors).log10()).mean(0).tolist()
    return {"y": round(y, 3), "uv": round(uv, 3)}


def runtime_name() -> str:
    """What ``milliseconds`` measures, in words."""
    return f"{processor_name()}, OpenVINO, f32, {torch.get_num_threads()} threads, {WIDTH}x{HEIGHT}"


def milliseconds(nets: dict[str, MalleNetRT]) -> dict[str, float]:
    """Time of a frame of 640x360 in OpenVINO, tensor to tensor, by name."""
    threads = torch.get_num_threads()
    calls = {
        name: openvino_call(
            PortableRT(net).eval(), example(net, HEIGHT, WIDTH), threads, outputs=RTState._fields
        )
        for name, net in nets.items()
    }
    return fastest(calls)


Scores = dict[int, dict[str, dict[str, float]]]
"""PSNR by seed, then by sigma, then of "y" and "uv"."""


def write_report(book: StudyFile, path: Path) -> None:
    """Write the Markdown file.

    Raises:
        ConfigError: the study holds no run of the base yet.
    """
    found = {name: _scores(book, name) for name in VARIANTS}
    if not found[BASE]:
        raise ConfigError(f"{book.path} holds no finished run of {BASE}: train it first")
    questions = dict.fromkeys(variant.question for variant in VARIANTS.values() if variant.question)
    parts = ["# What each part of rt-s is worth", _method(book, found[BASE])]
    parts += [_question(book, question, found) for question in questions]
    parts += [_notes(book), _commands(book)]
    path.write_text("\n\n".join(part for part in parts if part) + "\n")


def difference(variant: Scores, base: Scores, planes: str) -> tuple[float, float]:
    """How many dB a variant is above the base: mean over sigmas and common seeds, standard deviation over seeds."""
    seeds = [
        statistics.fmean(variant[seed][sigma][planes] - base[seed][sigma][planes] for sigma in base[seed])
        for seed in variant
        if seed in base
    ]
    if not seeds:
        return math.nan, math.nan
    return statistics.fmean(seeds), statistics.stdev(seeds) if len(seeds) > 1 else math.nan


def _scores(book: StudyFile, name: str) -> Scores:
    """Of the runs that came to something."""
    return {run["seed"]: run["psnr"] for run in book.runs if run["cell"] == name and run["psnr"]}


def _runs(book: StudyFile, name: str) -> int:
    return sum(run["cell"] == name for run in book.runs)


def _method(book: StudyFile, base: Scores) -> str:
    plan, material = Plan(**book.plan), book.material
    minutes = [run["minutes"] for run in book.runs]
    devices = "; ".join(sorted({run["device"] for run in book.runs}))
    diverged = sum(run["psnr"] is None for run in book.runs)
    return f"""Every network is `{BASE}`, which is what `rt-s` was until this study, with one property changed, trained
from nothing by `tools/train.py --generation 1`: {material["clips"]} clips and {material["stills"]} photographs,
all kinds of noise, encoders included, {plan.batch} sequences of {plan.frames} frames of {plan.size}x{plan.size} a step,
back-propagated through {plan.chunk} frames, a cosine from a rate of {plan.rate:g}. PSNR of the luma in dB on
{material["tested"]} clips that were not trained on, after 8 frames, as the training's log has it.

**Every run took {plan.steps} steps, {min(minutes):.1f} to {max(minutes):.1f} minutes on {devices}.
Runs that diverged: {diverged}.** With the same seed all variants draw the same sequences and the same noise.
Trainings as short as this order networks; they do not rank them for good, and the recipe was found for `{BASE}`.
*luma*, *chroma*: how many dB of PSNR above `{BASE}`, mean over the noise levels and the seeds that both have, ± its
standard deviation over seeds{_hint(base)}."""


def _hint(base: Scores) -> str:
    return ", of which there are few: take it for a hint" if 1 < len(base) < 3 else ""


def _question(book: StudyFile, question: str, found: dict[str, Scores]) -> str:
    names = [name for name, each in VARIANTS.items() if each.question == question and _runs(book, name)]
    if not names:
        return ""
    heads = ["network", "", "kMAC/px", *(f"ms [{i + 1}]" for i in range(len(book.times)))]
    heads += [*(f"sigma {sigma}" for sigma in SIGMAS), "luma", "chroma", "seeds"]
    rows = [_row(book, name, found) for name in (BASE, *names)]
    return f"## {question}\n\n{table(heads, rows)}"


def _row(book: StudyFile, name: str, found: dict[str, Scores]) -> list[str]:
    scores = found[name].values()
    times = [f"{times[name]:.1f}" if name in times else "-" for times in book.times.values()]
    begin = [name, VARIANTS[name].what, f"{book.cells[name]['kmac_per_pixel']:.1f}", *times]
    seeds = str(len(scores)) if len(scores) == _runs(book, name) else f"{len(scores)} of {_runs(book, name)}"
    if not scores:
        return [*begin, *(["diverged"] * len(SIGMAS)), "", "", seeds]
    means = [statistics.fmean(psnr[str(sigma)]["y"] for psnr in scores) for sigma in SIGMAS]
    above = ["", ""] if name == BASE else [_above(name, found, planes) for planes in ("y", "uv")]
    return [*begin, *(f"{mean:.2f}" for mean in means), *above, seeds]


def _above(name: str, found: dict[str, Scores], planes: str) -> str:
    mean, spread = difference(found[name], found[BASE], planes)
    return f"{mean:+.2f}" + ("" if math.isnan(spread) else f" ± {spread:.2f}")


def _notes(book: StudyFile) -> str:
    notes = (
        f"[{i + 1}] {name}, the networks in turn, the fastest of {CALLS} frames."
        for i, name in enumerate(book.times)
    )
    return "\n".join(notes)


def _commands(book: StudyFile) -> str:
    seeds = len({run["seed"] for run in book.runs})
    options = " ".join(f"--{name} {value}" for name, value in book.plan.items() if name != "float32")
    options += " --float32" if book.plan.get("float32") else ""
    return f"""## Again

```
python tools/study.py rt --clips DIR --stills DIR --validate CLIP... --out {book.path.name} --seeds {seeds} \\
  {options}
python tools/study.py rt --out {book.path.name} --resume --time --report docs/rt_study.md
```"""
