"""Train a MalleNet-RT preset for a wall-clock budget; stops and resumes anywhere.

    python tools/train.py --preset rt-s --clips DIR --stills DIR --out runs/rt-s --budget 120
    python tools/train.py ... --resume
    python tools/train.py --preset rt-l --grow-from engines/rt-m.safetensors ...

The learning rate follows a cosine over the budget, so that a run is finished whenever its minutes are. The folder
``--out`` holds last.pt (everything needed to resume), best.safetensors (the averaged weights with the best
validation) and log.jsonl, in which every start says what it computes with: GPUs, and CPUs that can, in bfloat16;
CPUs with the slice and its gradient compiled, once for a checkout, by the C++ compiler at hand.
"""

from __future__ import annotations

import argparse
import copy
import math
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from compiledslice.install import fastest_slice
from encoded import through_encoder
from growing import grow
from torch import Tensor
from training import (
    Stop,
    add_computing_options,
    append_row,
    autocast,
    computing,
    follow,
    psnr_loss,
    rate_at,
    save_whole,
)
from trainset import TrainSet, load_clip

from malle_rt.net.noise import NoiseMix, Planes420, degrade, rgb_to_planes
from malle_rt.net.rt import PRESETS, MalleNetRT, RTState
from malle_rt.net.weights import load_rt, save_network

SECONDS_BETWEEN_CHECKS = 300


def main() -> int:
    """Run the command line."""
    options = parse()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu" and options.threads:
        torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    data = TrainSet.load(options.clips, options.stills, options.cache, device, options.seed)
    checks = [validation_clip(path, device) for path in options.validate]
    run = Run.start(options, device)
    if options.resume:
        run.resume(options.out / "last.pt", data.generator)
    elif (options.out / "last.pt").exists():
        print(
            f"train.py: {options.out} holds a run already: pass --resume, or another --out", file=sys.stderr
        )
        return 2
    with fastest_slice(device, compiled=options.compiled_slice) as slice_name, Stop() as stop:
        computes = computing(device, slice_name, float32=options.float32)
        append_row({"step": run.step, "computes": computes}, options.out / "log.jsonl")
        run.train(data, checks, stop.asked)
    return 128 + stop.signal if stop.signal else 0


def parse() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", choices=sorted(PRESETS), default="rt-s")
    parser.add_argument("--clips", type=Path, required=True, help="folder of near-lossless video clips")
    parser.add_argument(
        "--stills", type=Path, nargs="+", required=True, help="folders of photographs, of drawings"
    )
    parser.add_argument("--validate", type=Path, nargs="*", default=[], help="clips to measure on")
    parser.add_argument(
        "--cache", type=Path, default=Path("runs/trainset.pt"), help="decoded data, made once"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--budget", type=float, required=True, help="minutes in all, resumed runs included")
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--resume", action="store_true", help="go on from OUT/last.pt")
    start.add_argument("--grow-from", type=Path, help="weights of this or a smaller preset to start from")
    parser.add_argument("--batch", type=int, default=8, help="sequences")
    parser.add_argument("--frames", type=int, default=12, help="frames of a sequence")
    parser.add_argument("--chunk", type=int, default=6, help="frames back-propagated through at once")
    parser.add_argument("--size", type=int, default=96, help="side of a frame in pixels, a multiple of 16")
    parser.add_argument("--rate", type=float, default=2e-3, help="largest learning rate")
    parser.add_argument("--seed", type=int, default=0)
    add_computing_options(parser)
    return parser.parse_args()


def _stacked(sequences: Iterable[Planes420]) -> Planes420:
    return Planes420(*(torch.stack(planes) for planes in zip(*sequences, strict=True)))


@dataclass
class Run:
    """One training run and everything that a checkpoint must hold."""

    options: argparse.Namespace
    device: torch.device
    net: MalleNetRT
    average: MalleNetRT
    optimizer: torch.optim.Optimizer
    step: int = 0
    spent: float = 0.0  # seconds of training so far
    best: float = -math.inf
    losses: list[float] = field(default_factory=list)

    @classmethod
    def start(cls, options: argparse.Namespace, device: torch.device) -> Run:
        """A fresh run."""
        torch.manual_seed(options.seed)
        net = MalleNetRT(PRESETS[options.preset])
        if options.grow_from:
            grow(net, load_rt(options.grow_from))
        return cls.of(net, options, device)

    @classmethod
    def of(cls, net: MalleNetRT, options: argparse.Namespace, device: torch.device) -> Run:
        """A run that begins with this network."""
        net = net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in torch's stubs
        average = copy.deepcopy(net).requires_grad_(False)
        optimizer = torch.optim.AdamW(net.parameters(), lr=options.rate, weight_decay=1e-4)
        return cls(options, device, net, average, optimizer)

    def resume(self, path: Path, generator: torch.Generator) -> None:
        """Take up a checkpoint."""
        saved = torch.load(path, map_location="cpu", weights_only=True)
        self.net.load_state_dict(saved["net"])
        self.average.load_state_dict(saved["average"])
        self.optimizer.load_state_dict(saved["optimizer"])
        generator.set_state(saved["generator"])
        self.step, self.spent, self.best = saved["step"], saved["spent"], saved["best"]

    def save(self, generator: torch.Generator) -> None:
        """Write last.pt, whole or not at all."""
        save_whole(
            {
                "net": self.net.state_dict(),
                "average": self.average.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "generator": generator.get_state(),
                "step": self.step,
                "spent": self.spent,
                "best": self.best,
            },
            self.options.out / "last.pt",
        )

    def train(self, data: TrainSet, checks: list[Tensor], stop: Callable[[], bool]) -> None:
        """Until the budget is spent or ``stop`` asks, after a whole batch: a state saved in one would be none."""
        since_check = 0.0
        while self.progress() < 1 and not stop():
            begun = time.monotonic()
            self.one_batch(data)
            took = time.monotonic() - begun
            self.spent += took
            since_check += took
            if since_check > SECONDS_BETWEEN_CHECKS or self.progress() >= 1:
                since_check = 0.0
                self.check(checks)
                self.save(data.generator)
        if stop():
            self.save(data.generator)

    def one_batch(self, data: TrainSet) -> None:
        """Learn from fresh sequences, chunk after chunk."""
        noisy, clean, sigma = self.batch(data)
        state = self.net.first_state(noisy.y[:, 0], noisy.uv[:, 0])
        for first in range(0, self.options.frames, self.options.chunk):
            state = self.learn(noisy, clean, sigma, state, slice(first, first + self.options.chunk))

    def batch(self, data: TrainSet) -> tuple[Planes420, Planes420, Tensor]:
        """Noisy and clean planes (B, T, C, H, W) and sigma (B, 1, 1, 1)."""
        drawn = [
            degrade(
                data.draw(self.options.frames, self.options.size), NoiseMix(), data.generator, through_encoder
            )
            for _ in range(self.options.batch)
        ]
        noisy, clean, sigma = zip(*drawn, strict=True)
        return _stacked(noisy), _stacked(clean), torch.stack(sigma).view(-1, 1, 1, 1)

    def learn(
        self, noisy: Planes420, clean: Planes420, sigma: Tensor, state: RTState, part: slice
    ) -> RTState:
        """One step on some frames of the sequences, back-propagated through all of them; the state goes on."""
        self._set_rate()
        outputs = []
        with autocast(self.device, float32=self.options.float32):
            for y, uv in zip(noisy.y[:, part].unbind(1), noisy.uv[:, part].unbind(1), strict=True):
                state = RTState(*(value.float() for value in self.net(y, uv, sigma, state)))
                outputs.append(state)
        loss = psnr_loss(torch.stack([o.y for o in outputs], 1), clean.y[:, part])
        loss = loss + 0.25 * psnr_loss(torch.stack([o.uv for o in outputs], 1), clean.uv[:, part])
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 2.0)
        self.optimizer.step()
        self.step += 1
        follow(self.average, self.net, self.step)
        self.losses.append(float(loss.detach()))
        return RTState(*(value.detach() for value in state))

    def progress(self) -> float:
        """Share of the run that is done."""
        return float(self.spent / (self.options.budget * 60))

    def _set_rate(self) -> None:
        rate = self.options.rate * rate_at(self.progress(), self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def check(self, clips: list[Tensor]) -> None:
        """Measure the averaged weights, log, and keep them when they are the best so far."""
        psnr = {f"{sigma}": validate(self.average, clips, sigma) for sigma in (10, 25, 50)} if clips else {}
        row = {
            "step": self.step,
            "minutes": round(self.spent / 60, 1),
            "loss": round(sum(self.losses) / max(len(self.losses), 1), 3),
            "rate": self.optimizer.param_groups[0]["lr"],
            "psnr_y": {sigma: [round(v, 2) for v in values] for sigma, values in psnr.items()},
        }
        self.losses.clear()
        append_row(row, self.options.out / "log.jsonl")
        score = sum(values[-1] for values in psnr.values())
        if score >= self.best or not clips:
            self.best = score
            save_network(self.average, self.options.out / "best.safetensors", note={"step": str(self.step)})


def validation_clip(path: Path, device: torch.device, frames: int = 12, size: int = 256) -> Tensor:
    """The middle of a clip, (T, 3, size, size) RGB in [0, 1]; sides shrink to multiples of 16 if they must."""
    clip = load_clip(path, frames)
    height, width = (min(side, size) // 16 * 16 for side in clip.shape[1:3])
    top, left = (clip.shape[1] - height) // 2, (clip.shape[2] - width) // 2
    crop = clip[:, top : top + height, left : left + width]
    return torch.from_numpy(crop.copy()).to(device).permute(0, 3, 1, 2).float() / 255


@torch.no_grad()
def validate(net: MalleNetRT, clips: list[Tensor], sigma: float) -> tuple[float, float, float]:
    """PSNR-Y of the noisy clips, of the first output and of the last four, mean over clips; RGB noise, 8 bits."""
    totals = torch.zeros(3)
    for clip in clips:
        clean, noisy, output = denoise(net, clip, sigma)
        before = (noisy.y - clean.y).square().mean()
        errors = (output.y - clean.y).square().mean((1, 2, 3))
        totals += (-10 * torch.stack((before, errors[0], errors[-4:].mean())).log10()).cpu() / len(clips)
    noisy_psnr, first, last = totals.tolist()
    return noisy_psnr, first, last


@torch.no_grad()
def denoise(net: MalleNetRT, clip: Tensor, sigma: float) -> tuple[Planes420, Planes420, Planes420]:
    """Clean, noisy and denoised planes of a clip, (T, C, H, W) each.

    Args:
        net: told the luma's true noise.
        clip: of ``validation_clip``.
        sigma: of white noise in RGB, from a fixed seed; then 4:2:0 and 8 bits.
    """
    generator = torch.Generator(clip.device).manual_seed(int(sigma))
    noise = torch.randn(clip.shape, generator=generator, device=clip.device) * (sigma / 255)
    clean = rgb_to_planes(clip)
    noisy = Planes420(*(p.mul(255).round().div(255) for p in rgb_to_planes((clip + noise).clamp(0, 1))))
    level = (noisy.y - clean.y).square().mean().sqrt().view(1, 1, 1, 1)
    state = net.first_state(noisy.y[:1], noisy.uv[:1])
    outputs = []
    for y, uv in zip(noisy.y.split(1), noisy.uv.split(1), strict=True):
        state = RTState(*net(y, uv, level, state))
        outputs.append(Planes420(state.y, state.uv))
    return clean, noisy, Planes420(*(torch.cat(planes) for planes in zip(*outputs, strict=True)))


if __name__ == "__main__":
    sys.exit(main())
