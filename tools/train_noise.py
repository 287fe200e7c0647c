"""Train the learned estimate of noise: engines/noise.npz.

    python tools/train_noise.py --clips DIR --stills DIR --samples runs/noise --draws 10000 --seed 1
    python tools/train_noise.py --samples runs/noise --write

Sequences get the noise of cameras, tapes, films and encoders (``tools/cameras.py``), that of ``malle_rt.net.noise``, or
weak white noise; a quarter stay clean, most of these encoded, and are to be told from noise. Some are stills that stand
or move by whole pixels, as screens do. Of each, pairs of frames are described (``malle_rt.noise_features``), and
networks with two hidden layers, whose mean counts, learn

* what the noise is like (``described``): an encoder's own damage, which a clean copy shows, is no noise;
* what sigma takes it away best. Each noisy sequence is denoised by ``--model`` at several; what is learned is to
  lose as few dB as possible against the best of them, and to leave clean ones alone.

Drawing is the slow part: ``--draws`` adds files to the folder of samples. Every tenth sequence is held out; figures are
of those.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from cameras import CAMERAS, record, through_encoder
from torch import Tensor, nn
from trainset import TrainSet

from malle_rt.backends.base import FrameShape, Session
from malle_rt.backends.openvino import OpenVinoBackend
from malle_rt.contract import Noise
from malle_rt.learned_estimate import REACH
from malle_rt.models import engines_folder, record_checksums
from malle_rt.net.noise import NoiseMix, Planes420, degrade, described, rgb_to_planes
from malle_rt.noise_features import COUNT, FLOOR, features
from malle_rt.ops.native import Alignment

FRAMES, SIZE = 6, 176  # the lowest clip has 180 rows
KEPT = (1, 2, 4, 5)  # frames of a sequence that are kept
PAIRS = ((0, 1), (2, 3))  # of these
JUDGED = 3  # frames before are not compared: averaging has only begun
SIGMAS = (0.0, 1.0, 1.6, 2.5, 4.0, 6.3, 10.0, 16.0, 25.0, 40.0, 63.0)
FILE = 100  # sequences in a file
CLEAN, CLEAN_ENCODED, WEAK = (
    0.24,
    0.7,
    0.16,
)  # shares of sequences without noise, of these with an encoder, with weak noise
CAMERA_SHARE = 0.6  # of the others
GRAY = 0.06  # share of sequences without colour
SHIFTED, CLEAN_SHIFTED = 0.08, 0.4  # shares of noisy and of clean sequences that are shifted stills
WEAK_MIX = NoiseMix(gaussian=1, poisson=0, planes=0, correlated=0.15, encoded=0.2, rgb_sigma=8)
HIDDEN, NETWORKS = 48, 3
HELD_OUT = 10  # one sequence in so many
SHAKEN = 0.1  # standard deviations that the features are shaken by
UNSEEN = 0.5  # sigma that does no harm to a clean sequence; from there, each doubling costs
HARM = 1.5  # dB
STEPS_OF_SIGMA = torch.linspace(float(np.log2(FLOOR)), float(np.log2(75 + FLOOR)), 70)
Arrays = npt.NDArray[Any]


def main() -> int:
    """Run the command line."""
    options = parse()
    torch.set_num_threads(1)
    if options.draws:
        draw(options)
    data = Data.load(options.samples)
    if data is None:
        print(f"train_noise.py: no samples in {options.samples}: draw some with --draws", file=sys.stderr)
        return 2
    nets = [train(data, options.steps, options.seed + number) for number in range(NETWORKS)]
    report(data, nets)
    if options.write:
        write(data, nets, engines_folder() / "noise.npz")
    return 0


def parse() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=Path, required=True, help="folder of what was drawn")
    parser.add_argument("--draws", type=int, default=0, help="sequences to add to it")
    parser.add_argument("--clips", type=Path, help="folder of near-lossless video clips")
    parser.add_argument("--stills", type=Path, nargs="+", default=[], help="folders of photographs, drawings")
    parser.add_argument(
        "--cache", type=Path, default=Path("runs/trainset.pt"), help="decoded data, made once"
    )
    parser.add_argument("--model", default="rt-s", help="network whose best sigma is learned (rt-s)")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=0, help="of the draws, or of the training")
    parser.add_argument("--write", action="store_true", help="put the result into engines/")
    options = parser.parse_args()
    if options.draws and not (options.clips and options.stills):
        parser.error("--draws needs --clips and --stills")
    return options


def draw(options: argparse.Namespace) -> None:
    """Add files of sequences to the samples."""
    data = TrainSet.load(options.clips, options.stills, options.cache, torch.device("cpu"), options.seed)
    backend = OpenVinoBackend(options.model, threads=1, precision="int8")
    session = backend.prepare(FrameShape(SIZE, SIZE, 8))
    options.samples.mkdir(parents=True, exist_ok=True)
    for first in range(0, options.draws, FILE):
        drawn = [sample(data, session) for _ in range(first, min(first + FILE, options.draws))]
        arrays: dict[str, Any] = {name: np.array([each[name] for each in drawn]) for name in drawn[0]}
        path = options.samples / f"{options.seed}-{first:06d}.npz"
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            np.savez(file, **arrays)
        partial.replace(path)
        print(f"{first + len(drawn)} sequences", flush=True)
    session.close()
    backend.close()


def sample(data: TrainSet, session: Session) -> dict[str, Any]:
    """A sequence, what its noise is like, and how well each sigma takes it away."""
    states: list[Tensor] = []

    def encode(planes: Planes420, dice: torch.Generator) -> Planes420:
        states.append(dice.get_state())
        return through_encoder(planes, dice)

    noisy, clean, name = sequence(data, encode)
    told = described(noisy, clean).numpy()
    if name == "clean":
        told = np.zeros_like(told)
    elif states:
        again = torch.Generator()
        again.set_state(states[0])
        damage = errors(through_encoder(_rounded(clean), again), clean)
        share = np.sqrt(np.maximum(1 - damage / np.maximum(errors(noisy, clean), 1e-12), 0))
        told[:3] *= share[[0, 0, 1]]
    codes = [_codes(plane) for plane in noisy]
    return {
        "y": codes[0][list(KEPT), 0],
        "uv": codes[1][list(KEPT)],
        "name": name,
        "told": told,
        "errors": np.full(len(SIGMAS), np.nan) if name == "clean" else tried(codes, clean, session),
    }


def sequence(data: TrainSet, encode: Any) -> tuple[Planes420, Planes420, str]:
    """Noisy and clean planes, and what kind of noise it is."""
    generator = data.generator
    kind, which, encoded, gray, exact = torch.rand(5, generator=generator).tolist()
    still = exact < (CLEAN_SHIFTED if kind < CLEAN else SHIFTED)
    rgb = shifted(data) if still else data.draw(FRAMES, SIZE)
    if kind < CLEAN:
        name = "clean"
        clean = _rounded(
            rgb_to_planes(rgb, matrix="bt709" if which < 0.6 else "bt601", full_range=0.5 < which < 0.7)
        )
        noisy = encode(clean, generator) if encoded < CLEAN_ENCODED else clean
    elif kind < CLEAN + WEAK:
        name = "weak"
        noisy, clean, _ = degrade(rgb, WEAK_MIX, generator, encode)
    elif which < CAMERA_SHARE:
        name = sorted(CAMERAS)[int(which / CAMERA_SHARE * len(CAMERAS))]
        noisy, clean, _ = record(rgb, name, generator, encode)
    else:
        name = "mix"
        noisy, clean, _ = degrade(rgb, NoiseMix(), generator, encode)
    if gray < GRAY:
        noisy, clean = (Planes420(each.y, torch.full_like(each.uv, 128 / 255)) for each in (noisy, clean))
    return noisy, clean, name


def shifted(data: TrainSet) -> Tensor:
    """A still that stands, or moves by whole pixels: (FRAMES, 3, SIZE, SIZE)."""
    dice = torch.rand(6, generator=data.generator).tolist()
    steps = (0, 0) if dice[0] < 0.4 else tuple(int(each * 9) - 4 for each in dice[1:3])
    sides = [SIZE + (FRAMES - 1) * abs(step) for step in steps]
    fitting = [each for each in data.stills if each.shape[1] >= sides[0] and each.shape[2] >= sides[1]]
    still = fitting[int(dice[3] * len(fitting))]
    rooms = [length - side + 1 for length, side in zip(still.shape[1:], sides, strict=True)]
    top, left = (int(each * room) for each, room in zip(dice[4:], rooms, strict=True))
    frames = []
    for number in range(FRAMES):
        row, column = (
            first + (number if step >= 0 else number - FRAMES + 1) * step
            for first, step in zip((top, left), steps, strict=True)
        )
        frames.append(still[:, row : row + SIZE, column : column + SIZE])
    return torch.stack(frames).float() / 255


def tried(codes: list[Arrays], clean: Planes420, session: Session) -> Arrays:
    """Mean square errors of the luma at each of ``SIGMAS``, codes; NaN where it is far from the best."""
    wanted = clean.y.mul(255).numpy()[JUDGED:-1, 0]
    found = np.full(len(SIGMAS), np.nan, np.float32)
    found[0] = best = np.square(codes[0][JUDGED:-1, 0] - wanted).mean()
    for number, sigma in enumerate(SIGMAS[1:], 1):
        if sigma < 0.4 * found[0] ** 0.5 and number + 1 < len(SIGMAS):
            continue
        state, lumas = None, []
        for y, (u, v) in zip(codes[0][:-1, 0], codes[1][:-1], strict=True):
            result, state = session.start((y, u, v), Noise.white(sigma), state)
            lumas.append(result()[0])
        found[number] = np.square(np.stack(lumas[JUDGED:]) - wanted).mean()
        best = min(best, found[number])
        if found[number] > 1.4 * best:
            break
    return found


def errors(noisy: Planes420, clean: Planes420) -> Arrays:
    """Mean square of the noise of luma and chroma."""
    pairs = zip(noisy, clean, strict=True)
    return np.array([float((one - other).square().mean()) for one, other in pairs])


def _rounded(planes: Planes420) -> Planes420:
    return Planes420(*(plane.mul(255).round().div(255) for plane in planes))


def _codes(plane: Tensor) -> Arrays:
    return plane.mul(255).round().clamp(0, 255).byte().numpy()


@dataclass(frozen=True, eq=False)
class Data:
    """Samples as the networks see them.

    Attributes:
        seen: (N, 3, COUNT) features, normalised: two pairs of frames, and one of fields.
        told: (N, 4) logarithms of three standard deviations, and coarseness.
        lost: (N, steps) dB that each of ``STEPS_OF_SIGMA`` is below the best.
        names: of the kinds of noise.
        mean, spread: (COUNT,) that the features were normalised with.
    """

    seen: Tensor
    told: Tensor
    lost: Tensor
    names: Arrays
    mean: Tensor
    spread: Tensor

    @classmethod
    def load(cls, folder: Path) -> Data | None:
        """All files of a folder; None: there are none."""
        files = [np.load(path) for path in sorted(folder.glob("*.npz"))]
        if not files:
            return None
        found = [
            (pairs, told, lost(curve, name == "clean"), name)
            for file in files
            for y, uv, told, curve, name in zip(
                *map(file.get, ("y", "uv", "told", "errors", "name")), strict=True
            )
            if (pairs := described_pairs(y, uv)) is not None
        ]
        seen, told, losses, names = (np.array(each) for each in zip(*found, strict=True))
        levels = np.log2(255 * told[:, :3] + FLOOR)
        features_ = torch.from_numpy(seen)
        taught = features_[~held_out(len(seen))].flatten(0, 1)
        mean, spread = taught.mean(0), taught.std(0).clamp(min=0.05)
        return cls(
            ((features_ - mean) / spread).clamp(-REACH, REACH),
            torch.from_numpy(np.concatenate((levels, told[:, 3:]), 1).astype(np.float32)),
            torch.from_numpy(losses),
            names,
            mean,
            spread,
        )


def held_out(count: int) -> Tensor:
    """Which of so many sequences are not trained on."""
    return torch.arange(count) % HELD_OUT == 0


def described_pairs(y: Arrays, uv: Arrays) -> Arrays | None:
    """Features of the pairs of a sequence, and of the first one's upper fields; None where there are none."""
    found = []
    for rows, (before, now) in ((1, PAIRS[0]), (1, PAIRS[1]), (2, PAIRS[0])):
        past, present = (
            (y[at][::rows].astype(np.float32), uv[at][:, ::rows].astype(np.float32)) for at in (before, now)
        )
        found.append(features(present, alignment(rows)(present, past)))
    whole = [each for each in found if each is not None]
    return np.stack(whole) if len(whole) == len(found) else None


@cache
def alignment(rows: int) -> Alignment:
    """Of a picture's frames (1), or of its fields (2)."""
    return Alignment(1, SIZE // rows, SIZE)


def lost(curve: Arrays, clean: bool) -> npt.NDArray[np.float32]:
    """DB below the best at each of ``STEPS_OF_SIGMA``, from mean square errors at ``SIGMAS``."""
    steps = STEPS_OF_SIGMA.numpy()
    if clean:
        return np.asarray(HARM * np.maximum(steps - np.log2(UNSEEN + FLOOR), 0), np.float32)
    known = ~np.isnan(curve)
    places, levels = np.log2(np.array(SIGMAS)[known] + FLOOR), -10 * np.log10(curve[known])
    found = np.interp(steps, places, levels)
    falls = min((levels[-1] - levels[-2]) / (places[-1] - places[-2]), -0.5)
    beyond = steps > places[-1]
    found[beyond] = levels[-1] + falls * (steps[beyond] - places[-1])
    return np.asarray(found.max() - found, np.float32)


class Net(nn.Module):
    """Two hidden layers, and a direct way past them; five outputs: ``told``, and the sigma's logarithm last."""

    def __init__(self) -> None:
        super().__init__()
        self.deep = nn.Sequential(
            nn.Linear(COUNT, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 5)
        )
        self.direct = nn.Linear(COUNT, 5, bias=False)
        nn.init.zeros_(self.direct.weight)

    def forward(self, seen: Tensor) -> Tensor:
        """(..., COUNT) to (..., 5)."""
        result: Tensor = self.deep(seen) + self.direct(seen)
        return result

    @property
    def layers(self) -> list[nn.Linear]:
        """The three of the deep way."""
        return [layer for layer in self.deep if isinstance(layer, nn.Linear)]


def lost_at(losses: Tensor, sigmas: Tensor) -> Tensor:
    """DB lost by sigmas (N,), logarithms."""
    first, step = STEPS_OF_SIGMA[0], STEPS_OF_SIGMA[1] - STEPS_OF_SIGMA[0]
    places = ((sigmas - first) / step).clamp(0, losses.shape[1] - 1.001)
    below = places.long()
    share = places - below
    low, high = (losses.gather(1, at[:, None])[:, 0] for at in (below, below + 1))
    return low * (1 - share) + high * share


def train(data: Data, steps: int, seed: int) -> Net:
    """One network."""
    torch.manual_seed(seed)
    taught = torch.nonzero(~held_out(len(data.seen)))[:, 0]
    best = STEPS_OF_SIGMA[data.lost.argmin(1)]
    weights = torch.tensor([1, 1, 1, 0.3])
    net = Net()
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        chosen = taught[torch.randint(len(taught), (256,))]
        pair = torch.randint(data.seen.shape[1], (256,))
        output = net(data.seen[chosen, pair] + SHAKEN * torch.randn(256, COUNT))
        described_loss = nn.functional.smooth_l1_loss(
            output[:, :4], data.told[chosen], beta=0.3, reduction="none"
        )
        decibels = lost_at(data.lost[chosen], output[:, 4])
        loss = (
            (weights * described_loss).mean()
            + nn.functional.smooth_l1_loss(decibels, torch.zeros(256), beta=1.0)
            # The curves are flat far from the best: a little pull towards it.
            + 0.1 * (output[:, 4] - best[chosen]).abs().clamp(max=2).mean()
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return net.eval()


@torch.no_grad()
def report(data: Data, nets: list[Net]) -> None:
    """How far off the held-out sequences are, kind by kind."""
    found = torch.stack([net(data.seen) for net in nets]).mean(0)
    held = held_out(len(data.seen)).numpy()
    print(f"{len(held)} sequences, {held.sum()} of them held out")
    for name in sorted(set(data.names)):
        which = torch.from_numpy(held & (data.names == name))
        if not which.any():
            continue
        output, losses = found[which][:, 0], data.lost[which]
        off = (output[:, :4] - data.told[which]).abs()
        factors = (2 ** off[:, :3].median(0).values).tolist()
        sigmas = 2 ** output[:, 4] - FLOOR
        print(
            f"{name}: {int(which.sum())}; {float(lost_at(losses, output[:, 4]).mean()):.2f} dB below the best "
            f"sigma (0: {float(losses[:, 0].mean()):.2f}); sigma {float(sigmas.median()):.1f}, nine in "
            f"ten below {float(sigmas.quantile(0.9)):.1f}; off by factors, half of them: dark, bright, chroma "
            f"{', '.join(f'{each:.2f}' for each in factors)}; coarseness {float(off[:, 3].median()):.2f}"
        )


def write(data: Data, nets: list[Net], path: Path) -> None:
    """Keep the networks as one that gives their mean, whole or not at all; the sigma comes before coarseness."""
    order = [0, 1, 2, 4, 3]
    first, second, third = zip(*(net.layers for net in nets), strict=True)
    values = {
        "mean": data.mean,
        "spread": data.spread,
        "direct": torch.stack([net.direct.weight for net in nets]).mean(0)[order],
        "weight1": torch.cat([layer.weight for layer in first]),
        "bias1": torch.cat([layer.bias for layer in first]),
        "weight2": torch.block_diag(*(layer.weight for layer in second)),
        "bias2": torch.cat([layer.bias for layer in second]),
        "weight3": torch.cat([layer.weight[order] for layer in third], 1) / len(nets),
        "bias3": torch.stack([layer.bias for layer in third]).mean(0)[order],
    }
    arrays: dict[str, Any] = {name: value.detach().half().numpy() for name, value in values.items()}
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.savez_compressed(file, **arrays)
    partial.replace(path)
    record_checksums(path)
    print(f"wrote {path.name}")


if __name__ == "__main__":
    sys.exit(main())
