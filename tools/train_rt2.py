"""Train a second-generation MalleNet-RT; stops and goes on anywhere, from a checkpoint or from weights alone.

    python tools/train_rt2.py --preset rt-s --clips DIR --stills DIR --out runs/rt-s --budget 120
    python tools/train_rt2.py ... --resume
    python tools/train_rt2.py --start-from engines/next/rt-s.safetensors ...

The rate stays where it is after a warm-up, so that a run may go on for as long as there is time; ``--settle MINUTES``
lets it fall to nothing over the last of them. What is measured and kept are averaged weights. The folder ``--out``
holds last.pt (everything needed to resume), average.safetensors (the averaged weights) and log.jsonl. SIGTERM and
Ctrl-C save both first.
"""

from __future__ import annotations

import argparse
import copy
import math
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from cameras import CAMERAS, record
from compiledslice.install import fastest_slice
from encoded import through_encoder
from torch import Tensor
from training import (
    WARM_UP,
    add_computing_options,
    append_row,
    autocast,
    computing,
    follow,
    psnr_loss,
    save_whole,
)
from trainset import TrainSet, load_clip

from malle_rt.net.noise import NoiseMix, Planes420, degrade, described, rgb_to_planes
from malle_rt.net.rt2 import PRESETS, MalleNetRT, RTState
from malle_rt.net.weights import load_rt2, save_network
from malle_rt.ops.motion import align

SECONDS_BETWEEN_CHECKS = 900
CAMERA_SHARE = 0.45  # of the sequences; the others have the noise of malle_rt.net.noise
# Noise is told by a person or an estimate: too little or too much of it, by factors of up to e to the power of these.
TOLD_LESS, TOLD_MORE = 0.35, 0.3
BY_HAND = 0.15  # share of sequences that are told one number, as a person gives it
BY_HAND_CHROMA = 0.7  # of the luma's level: what white noise in RGB leaves in the chroma
SIGMAS = (10, 25, 50)


def main() -> int:
    """Run the command line."""
    options = parse()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu" and options.threads:
        torch.set_num_threads(options.threads)
    if (options.out / "last.pt").exists() and not options.resume:
        print(
            f"train_rt2.py: {options.out} holds a run already: pass --resume, or another --out",
            file=sys.stderr,
        )
        return 2
    options.out.mkdir(parents=True, exist_ok=True)
    data = TrainSet.load(options.clips, options.stills, options.cache, device, options.seed)
    checks = [(path.name.partition(".")[0], validation_clip(path, device)) for path in options.validate]
    run = Run.start(options, device)
    if options.resume:
        run.resume(options.out / "last.pt", data.generator)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with fastest_slice(device, compiled=options.compiled_slice) as slice_name:
        computes = computing(device, slice_name, float32=options.float32)
        append_row({"step": run.step, "computes": computes}, options.out / "log.jsonl")
        run.train(data, checks)
    return 0


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
    parser.add_argument("--settle", type=float, default=0, help="of them, those in which the rate falls")
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--resume", action="store_true", help="go on from OUT/last.pt")
    start.add_argument("--start-from", type=Path, help="weights to go on from")
    parser.add_argument("--batch", type=int, default=4, help="sequences")
    parser.add_argument("--frames", type=int, default=12, help="frames of a sequence")
    parser.add_argument("--chunk", type=int, default=6, help="frames back-propagated through at once")
    parser.add_argument("--size", type=int, default=128, help="side of a frame in pixels, a multiple of 16")
    parser.add_argument("--rate", type=float, default=1e-3, help="largest learning rate")
    parser.add_argument("--seed", type=int, default=0)
    add_computing_options(parser)
    return parser.parse_args()


@dataclass
class Batch:
    """Sequences to learn from: planes (B, T, C, H, W), and what is told of their noise, (B, 4, 1, 1)."""

    noisy: Planes420
    clean: Planes420
    told: Tensor


def draw_batch(data: TrainSet, count: int, frames: int, size: int) -> Batch:
    """Fresh sequences with the noise of cameras, encoders and planes."""
    drawn = [_draw(data, frames, size) for _ in range(count)]
    noisy, clean = (
        Planes420(*(torch.stack(planes) for planes in zip(*sequences, strict=True)))
        for sequences in ([each[0] for each in drawn], [each[1] for each in drawn])
    )
    return Batch(noisy, clean, torch.stack([each[2] for each in drawn]).view(-1, 4, 1, 1))


def _draw(data: TrainSet, frames: int, size: int) -> tuple[Planes420, Planes420, Tensor]:
    clean_rgb, generator = data.draw(frames, size), data.generator
    kind, level, by_hand, less = torch.rand(4, generator=generator, device=generator.device).tolist()
    if kind < CAMERA_SHARE:
        name = sorted(CAMERAS)[int(kind / CAMERA_SHARE * len(CAMERAS))]
        noisy, clean, _ = record(clean_rgb, name, generator, through_encoder)
    else:
        noisy, clean, _ = degrade(clean_rgb, NoiseMix(), generator, through_encoder)
    told = described(noisy, clean)
    factor = math.exp(-TOLD_LESS + (TOLD_LESS + TOLD_MORE) * level)
    if by_hand < BY_HAND:
        sigma = (noisy.y - clean.y).square().mean().sqrt() * factor * (0.7 + less)
        told = torch.stack((sigma, sigma, BY_HAND_CHROMA * sigma, torch.zeros_like(sigma)))
    else:
        told = told * told.new_tensor([factor, factor, factor, 1.0])
    return noisy, clean, told.clamp(max=0.5)


def aligned(state: RTState, y: Tensor) -> RTState:
    """What the network is given of the past: moved to where it is in this frame."""
    return RTState(*align(y, *state))


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
    losses: list[float] = field(default_factory=list)

    @classmethod
    def start(cls, options: argparse.Namespace, device: torch.device) -> Run:
        """A fresh run, or one from weights."""
        torch.manual_seed(options.seed)
        net = load_rt2(options.start_from) if options.start_from else MalleNetRT(PRESETS[options.preset])
        net = net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in torch's stubs
        net.train().requires_grad_(True)
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
        self.step, self.spent = saved["step"], saved["spent"]

    def save(self, generator: torch.Generator) -> None:
        """Write last.pt and the averaged weights, each whole or not at all."""
        saved: dict[str, Any] = {
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": generator.get_state(),
            "step": self.step,
            "spent": self.spent,
        }
        save_whole(saved, self.options.out / "last.pt")
        save_network(self.average, self.options.out / "average.safetensors", note={"step": str(self.step)})

    def train(self, data: TrainSet, checks: list[tuple[str, Tensor]]) -> None:
        """Until the budget is spent; an interruption loses nothing but the step it came in."""
        since_check = 0.0
        try:
            while self.spent < self.options.budget * 60:
                begun = time.monotonic()
                self.one_batch(draw_batch(data, self.options.batch, self.options.frames, self.options.size))
                took = time.monotonic() - begun
                self.spent += took
                since_check += took
                if since_check > SECONDS_BETWEEN_CHECKS or self.spent >= self.options.budget * 60:
                    since_check = 0.0
                    self.save(data.generator)
                    self.check(checks)
        except KeyboardInterrupt:
            self.save(data.generator)
            raise

    def one_batch(self, batch: Batch) -> None:
        """Learn from sequences, chunk after chunk."""
        state = self.net.first_state(batch.noisy.y[:, 0], batch.noisy.uv[:, 0])
        for first in range(0, self.options.frames, self.options.chunk):
            state = self.learn(batch, state, slice(first, first + self.options.chunk))

    def learn(self, batch: Batch, state: RTState, part: slice) -> RTState:
        """One step on some frames of the sequences, back-propagated through all of them; the state goes on."""
        self._set_rate()
        outputs = []
        frames = zip(batch.noisy.y[:, part].unbind(1), batch.noisy.uv[:, part].unbind(1), strict=True)
        with autocast(self.device, float32=self.options.float32):
            for number, (y, uv) in enumerate(frames):
                if part.start + number:
                    state = aligned(state, y)
                state = RTState(*(value.float() for value in self.net(y, uv, batch.told, state)))
                outputs.append(state)
        loss = psnr_loss(torch.stack([o.y for o in outputs], 1), batch.clean.y[:, part])
        loss = loss + 0.25 * psnr_loss(torch.stack([o.uv for o in outputs], 1), batch.clean.uv[:, part])
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 2.0)
        self.optimizer.step()
        self.step += 1
        follow(self.average, self.net, self.step)
        self.losses.append(float(loss.detach()))
        return RTState(*(value.detach() for value in state))

    def _set_rate(self) -> None:
        left = self.options.budget - self.spent / 60
        settled = min(1.0, max(left, 0.0) / self.options.settle) if self.options.settle else 1.0
        rate = self.options.rate * max(settled, 0.005) * min(1, (self.step + 1) / WARM_UP)
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def check(self, clips: list[tuple[str, Tensor]]) -> None:
        """Measure the averaged weights and log."""
        row: dict[str, Any] = {
            "step": self.step,
            "minutes": round(self.spent / 60, 1),
            "loss": round(sum(self.losses) / max(len(self.losses), 1), 3),
            "rate": self.optimizer.param_groups[0]["lr"],
        }
        self.losses.clear()
        for kind in (*map(str, SIGMAS), *sorted(CAMERAS)):
            row[kind] = {name: _rounded(gains(self.average, clip, kind)) for name, clip in clips}
        append_row(row, self.options.out / "log.jsonl")


def _rounded(values: tuple[float, ...]) -> list[float]:
    return [round(value, 2) for value in values]


def validation_clip(path: Path, device: torch.device, frames: int = 12, size: int = 256) -> Tensor:
    """The middle of a clip, (T, 3, size, size) RGB in [0, 1]; sides shrink to multiples of 16 if they must."""
    clip = load_clip(path, frames)
    height, width = (min(side, size) // 16 * 16 for side in clip.shape[1:3])
    top, left = (clip.shape[1] - height) // 2, (clip.shape[2] - width) // 2
    crop = clip[:, top : top + height, left : left + width]
    return torch.from_numpy(crop.copy()).to(device).permute(0, 3, 1, 2).float() / 255


@torch.no_grad()
def gains(net: MalleNetRT, clip: Tensor, kind: str) -> tuple[float, float, float]:
    """PSNR-Y of a noisy clip, of the last four frames denoised, and what PSNR of the chroma these gain.

    Args:
        net: told the noise as it is.
        clip: of ``validation_clip``.
        kind: sigma of white noise in RGB, or the name of a camera; from a fixed seed.
    """
    generator = torch.Generator(clip.device).manual_seed(1000 + sum(map(ord, kind)))
    if kind in CAMERAS:
        noisy, clean, _ = record(clip, kind, generator, through_encoder)
    else:
        noise = torch.randn(clip.shape, generator=generator, device=clip.device) * (float(kind) / 255)
        clean = rgb_to_planes(clip)
        noisy = Planes420(*(p.mul(255).round().div(255) for p in rgb_to_planes((clip + noise).clamp(0, 1))))
    output = denoise(net, noisy, described(noisy, clean).view(1, 4, 1, 1))
    scores = [
        [float(-10 * (a[-4:] - b[-4:]).square().mean().log10()) for a, b in zip(planes, clean, strict=True)]
        for planes in (noisy, output)
    ]
    return scores[0][0], scores[1][0], scores[1][1] - scores[0][1]


@torch.no_grad()
def denoise(net: MalleNetRT, noisy: Planes420, told: Tensor) -> Planes420:
    """A whole sequence, planes (T, C, H, W); ``told`` as the network takes it."""
    state = net.first_state(noisy.y[:1], noisy.uv[:1])
    outputs = []
    for number, (y, uv) in enumerate(zip(noisy.y.split(1), noisy.uv.split(1), strict=True)):
        if number:
            state = aligned(state, y)
        state = RTState(*net(y, uv, told, state))
        outputs.append(Planes420(state.y, state.uv))
    return Planes420(*(torch.cat(planes) for planes in zip(*outputs, strict=True)))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
