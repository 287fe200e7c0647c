"""Training of MalleNet-RT: sequences with the noise of cameras, encoders and planes, frame after frame.

Of both generations. The second's past is moved to where it is in the new frame, and it is told what the noise is like;
the first has its past as it was, and is told one sigma.
"""

from __future__ import annotations

import math
import os
import signal
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
import torch.multiprocessing
from cameras import CAMERAS, record, through_encoder
from torch import Tensor
from training import Recipe, Run, autocast, grow, psnr_loss
from trainset import TrainSet

from malle_rt.net import rt, rt2
from malle_rt.net.noise import NoiseMix, Planes420, degrade, described, rgb_to_planes
from malle_rt.net.weights import load_rt, load_rt2
from malle_rt.ops.motion import align

__all__ = [
    "FIRST",
    "SECOND",
    "Ahead",
    "Generation",
    "VideoNet",
    "VideoRecipe",
    "VideoTask",
    "begun_by",
    "denoise",
    "drawn",
    "noisy_clip",
]

CAMERA_SHARE = 0.45  # of the sequences; the others have the noise of malle_rt.net.noise
# Noise is told by a person or an estimate: too little or too much of it, by factors of up to e to the power of these.
TOLD_LESS, TOLD_MORE = 0.35, 0.3
BY_HAND = 0.15  # share of sequences that are told one number, as a person gives it
BY_HAND_CHROMA = 0.7  # of the luma's level: what white noise in RGB leaves in the chroma
SIGMAS = (10, 25, 50)

VideoNet = rt.MalleNetRT | rt2.MalleNetRT
State = rt.RTState | rt2.RTState
Sequence = tuple[Planes420, Planes420, Tensor]
"""Noisy and clean planes (T, C, H, W), and what is told of the noise, one value or four."""


Batch = tuple[Planes420, Planes420, Tensor]


@dataclass(frozen=True, kw_only=True)
class VideoRecipe(Recipe):
    """How to train on sequences; ``size`` is a multiple of 16.

    Attributes:
        frames: of a sequence.
        chunk: frames back-propagated through at once.
    """

    batch: int = 4
    frames: int = 12
    chunk: int = 6


@dataclass(frozen=True)
class Generation:
    """What tells the generations apart.

    Attributes:
        fresh: makes a preset.
        load: reads weights.
        draw: a sequence of so many frames of that side.
        aligned: what the network is given of the past, for a frame's luma.
        told: noisy and clean planes to what is told of the noise, exactly.
        kinds: what is measured: sigmas of white noise, and cameras.
    """

    fresh: Mapping[str, Callable[[], VideoNet]]
    load: Callable[[Path], VideoNet]
    draw: Callable[[TrainSet, int, int], Sequence]
    aligned: Callable[[Any, Tensor], State]
    told: Callable[[Planes420, Planes420], Tensor]
    kinds: tuple[str, ...]


class VideoTask:
    """A video network, see ``training.Task``.

    Args:
        generation: of the network.
        network: makes what the run begins with.
        data: on the device to train on; with ``ahead`` on the CPU.
        checks: clips to measure on, of ``trainset.validation_clip``, by name.
        ahead: makes the batches in processes of its own; None: they are made between two steps.
        device: to train on; None: that of the data.
    """

    exploded = math.inf  # sequences are few and differ: their loss alone tells nothing
    steepest = 2.0
    seconds_between_checks = 900.0
    dtype = torch.float32

    def __init__(
        self,
        generation: Generation,
        network: Callable[[], VideoNet],
        data: TrainSet,
        checks: Mapping[str, Tensor],
        *,
        ahead: Ahead | None = None,
        device: torch.device | None = None,
    ) -> None:
        self.generation, self.data, self.checks = generation, data, checks
        self.network = network
        self.device = device or data.generator.device
        self._ahead = ahead
        self._number = 0  # of the next batch

    def state(self) -> Tensor:
        """Number of the next batch."""
        return torch.tensor([self._number])

    def restore(self, state: Tensor) -> None:
        """Take up what ``state`` gave; of a generator's state, as earlier versions kept it, any other number."""
        self._number = int(state) if state.numel() == 1 else zlib.crc32(state.numpy().tobytes())

    def batch(self, run: Run[VideoNet]) -> None:
        """A step for each chunk of fresh sequences; the state goes from one to the next."""
        recipe = cast(VideoRecipe, run.recipe)
        make = drawn if self._ahead is None else self._ahead.batch
        noisy, clean, told = make(self.generation, self.data, recipe, self._number)
        self._number += 1
        noisy, clean = (Planes420(*(plane.to(self.device) for plane in each)) for each in (noisy, clean))
        told = told.to(self.device)
        state: State = run.net.first_state(noisy.y[:, 0], noisy.uv[:, 0])
        for first in range(0, recipe.frames, recipe.chunk):
            state = self._chunk(run, noisy, clean, told, state, slice(first, first + recipe.chunk))

    def _chunk(
        self, run: Run[VideoNet], noisy: Planes420, clean: Planes420, told: Tensor, state: State, part: slice
    ) -> State:
        outputs: list[State] = []
        frames = zip(noisy.y[:, part].unbind(1), noisy.uv[:, part].unbind(1), strict=True)
        with autocast(self.device, float32=run.recipe.float32):
            for number, (y, uv) in enumerate(frames, part.start):
                if number:
                    state = self.generation.aligned(state, y)
                state = type(state)(*(value.float() for value in run.net(y, uv, told, state)))
                outputs.append(state)
        loss = psnr_loss(torch.stack([o.y for o in outputs], 1), clean.y[:, part])
        run.learn(loss + 0.25 * psnr_loss(torch.stack([o.uv for o in outputs], 1), clean.uv[:, part]))
        return type(state)(*(value.detach() for value in state))

    def check(self, average: VideoNet) -> tuple[dict[str, Any], float | None]:
        """``gains`` of every clip under every kind of noise; the sum is that of the luma's PSNR."""
        rows = {
            kind: {name: _gains(self.generation, average, clip, kind) for name, clip in self.checks.items()}
            for kind in self.generation.kinds
        }
        rounded = {
            kind: {name: [round(value, 2) for value in values] for name, values in row.items()}
            for kind, row in rows.items()
        }
        score = sum(values[1] for row in rows.values() for values in row.values())
        return rounded, score if self.checks else None


def drawn(generation: Generation, data: TrainSet, recipe: VideoRecipe, number: int) -> Batch:
    """A batch, which the recipe's seed and its number alone decide; whoever makes it, it is the same.

    Returns:
        Noisy and clean planes (B, T, C, H, W) and what is told of their noise, (B, 1 or 4, 1, 1).
    """
    data.generator.manual_seed((recipe.seed << 32) + number)
    made = [generation.draw(data, recipe.frames, recipe.size) for _ in range(recipe.batch)]
    noisy, clean, told = zip(*made, strict=True)
    return _stacked(noisy), _stacked(clean), torch.stack(told).view(len(made), -1, 1, 1)


class Ahead:
    """Batches made by processes of its own while steps are taken; a context manager.

    Args:
        workers: how many processes; each computes with one thread.
        data: on the CPU; its pictures are shared with the processes.
    """

    def __init__(self, workers: int, data: TrainSet) -> None:
        self._most = 2 * workers
        self._coming: dict[int, Future[Batch]] = {}
        self._pool = ProcessPoolExecutor(
            workers,
            torch.multiprocessing.get_context("spawn"),
            initializer=_begin_worker,
            initargs=(data.clips, data.stills, data.real, os.getpid()),
        )

    def batch(self, generation: Generation, _: TrainSet, recipe: VideoRecipe, number: int) -> Batch:
        """As ``drawn``. Raises ``BrokenProcessPool`` where a process has died."""
        name = (FIRST, SECOND).index(generation)
        wanted = range(number, number + self._most)
        for each in [known for known in self._coming if known not in wanted]:
            self._coming.pop(each).cancel()
        for each in wanted:
            if each not in self._coming:
                self._coming[each] = self._pool.submit(_made_by_worker, name, recipe, each)
        return self._coming.pop(number).result()

    def __enter__(self) -> Ahead:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)


_worker_data: TrainSet | None = None


def _begin_worker(clips: list[Tensor], stills: list[Tensor], real: float, parent: int) -> None:
    """In a new process: the material; signals are for the one that trains, and without it this one ends."""
    global _worker_data
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, signal.SIG_IGN)
    torch.set_num_threads(1)
    _worker_data = TrainSet(clips, stills, torch.Generator(), real)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _made_by_worker(generation: int, recipe: VideoRecipe, number: int) -> Batch:
    assert _worker_data is not None
    return drawn((FIRST, SECOND)[generation], _worker_data, recipe, number)


def _gains(generation: Generation, net: VideoNet, clip: Tensor, kind: str) -> tuple[float, float, float]:
    """PSNR-Y of a noisy clip, of the last four frames denoised, and what PSNR of the chroma these gain.

    The network is told the noise as it is.
    """
    noisy, clean = noisy_clip(clip, kind, seed=1000 + sum(map(ord, kind)))
    output = denoise(generation, net, noisy, generation.told(noisy, clean))
    scores = [
        [float(-10 * (a[-4:] - b[-4:]).square().mean().log10()) for a, b in zip(planes, clean, strict=True)]
        for planes in (noisy, output)
    ]
    return scores[0][0], scores[1][0], scores[1][1] - scores[0][1]


def noisy_clip(clip: Tensor, kind: str, seed: int) -> tuple[Planes420, Planes420]:
    """Noisy and clean planes (T, C, H, W) of a clip, from a fixed seed.

    Args:
        clip: of ``trainset.validation_clip``.
        kind: sigma of white noise in RGB, or the name of a camera.
        seed: of the noise.
    """
    generator = torch.Generator(clip.device).manual_seed(seed)
    if kind in CAMERAS:
        noisy, clean, _ = record(clip, kind, generator, through_encoder)
        return noisy, clean
    noise = torch.randn(clip.shape, generator=generator, device=clip.device) * (float(kind) / 255)
    noisy = Planes420(*(p.mul(255).round().div(255) for p in rgb_to_planes((clip + noise).clamp(0, 1))))
    return noisy, rgb_to_planes(clip)


@torch.no_grad()
def denoise(generation: Generation, net: VideoNet, noisy: Planes420, told: Tensor) -> Planes420:
    """A whole sequence, planes (T, C, H, W); ``told`` as ``Generation.told`` gives it."""
    told = told.view(1, -1, 1, 1)
    state: State = net.first_state(noisy.y[:1], noisy.uv[:1])
    outputs = []
    for number, (y, uv) in enumerate(zip(noisy.y.split(1), noisy.uv.split(1), strict=True)):
        if number:
            state = generation.aligned(state, y)
        state = type(state)(*net(y, uv, told, state))
        outputs.append(Planes420(state.y, state.uv))
    return _joined(outputs)


def _stacked(sequences: tuple[Planes420, ...]) -> Planes420:
    return Planes420(*(torch.stack(planes) for planes in zip(*sequences, strict=True)))


def _joined(frames: list[Planes420]) -> Planes420:
    return Planes420(*(torch.cat(planes) for planes in zip(*frames, strict=True)))


def _draw_first(data: TrainSet, frames: int, size: int) -> Sequence:
    return degrade(data.draw(frames, size), NoiseMix(), data.generator, through_encoder)


def _draw_second(data: TrainSet, frames: int, size: int) -> Sequence:
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
        sigma = _luma_sigma(noisy, clean) * factor * (0.7 + less)
        told = torch.stack((sigma, sigma, BY_HAND_CHROMA * sigma, torch.zeros_like(sigma)))
    else:
        told = told * told.new_tensor([factor, factor, factor, 1.0])
    return noisy, clean, told.clamp(max=0.5)


def _luma_sigma(noisy: Planes420, clean: Planes420) -> Tensor:
    return (noisy.y - clean.y).square().mean().sqrt()


def _moved(state: rt2.RTState, y: Tensor) -> rt2.RTState:
    """The past, moved to where it is in this frame."""
    return rt2.RTState(*align(y, *state))


def _as_it_was(state: rt.RTState, y: Tensor) -> rt.RTState:
    return state


FIRST = Generation(
    fresh={name: partial(rt.MalleNetRT, config) for name, config in rt.PRESETS.items()},
    load=load_rt,
    draw=_draw_first,
    aligned=_as_it_was,
    told=_luma_sigma,
    kinds=tuple(map(str, SIGMAS)),
)
SECOND = Generation(
    fresh={name: partial(rt2.MalleNetRT, config) for name, config in rt2.PRESETS.items()},
    load=load_rt2,
    draw=_draw_second,
    aligned=_moved,
    told=described,
    kinds=(*map(str, SIGMAS), *sorted(CAMERAS)),
)


def begun_by(
    generation: Generation, preset: str, *, start_from: Path | None = None, grow_from: Path | None = None
) -> Callable[[], VideoNet]:
    """What a run begins with: a fresh preset, one grown from a smaller network, or weights to go on from."""

    def network() -> VideoNet:
        if start_from:
            return generation.load(start_from)
        net = generation.fresh[preset]()
        if grow_from:
            grow(net, generation.load(grow_from))
        return net

    return network
