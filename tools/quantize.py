"""Quantise a network to int8: engines/NAME.safetensors becomes engines/NAME.int8.onnx.

    python tools/quantize.py rt-s --clips DIR
    python tools/quantize.py rt-s --clips DIR --validate CLIP CLIP

Scales come from noisy clips with the state the float network has after several frames. The result is run beside
the float graph on clips it was not calibrated with, its own state fed back, and is kept only if it loses little.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from cameras import through_encoder
from export import INPUTS, OUTPUTS, SECOND_INPUTS, export
from int8_graph import Sample, quantize_graph
from torch import Tensor
from trainset import validation_clip

from malle_rt import measuring
from malle_rt.models import PRECISIONS, model_file, record_checksums
from malle_rt.net.noise import NoiseMix, Planes420, degrade, described, rgb_to_planes
from malle_rt.net.weights import load_network
from malle_rt.ops.motion import align
from malle_rt.ops.native import load_extension
from malle_rt.vino import ov

Pixels = npt.NDArray[np.float32]

SIGMAS = (10, 25, 50)
KEPT = 3  # frames of a sequence that are calibrated with, spread evenly: the first, which has no past, to the last
LAST = 4  # frames of a sequence that are measured


class Player:
    """A portable graph in OpenVINO, run over sequences with its state fed back."""

    def __init__(self, path: Path) -> None:
        self._core = ov.Core()
        load_extension(self._core)
        self._graph = self._core.read_model(path)
        self._inputs = INPUTS if any("sigma" in port.names for port in self._graph.inputs) else SECOND_INPUTS
        self._hidden = self._graph.input("hidden_before").partial_shape[1].get_length()

    def told(self, noisy: Planes420, clean: Planes420) -> Pixels:
        """What the network is to be told of a sequence's noise, measured: (1, 1, 1, 1), or (1, 4, 1, 1)."""
        if self._inputs is SECOND_INPUTS:
            return described(noisy, clean).view(1, 4, 1, 1).numpy()
        return (noisy.y - clean.y).square().mean().sqrt().view(1, 1, 1, 1).numpy()

    def play(self, noisy: Planes420, told: Pixels) -> Iterator[tuple[Sample, Sample]]:
        """Inputs, with the state aligned where the network wants it so, and outputs of each frame, by name.

        Args:
            noisy: Y (T, 1, H, W) and UV (T, 2, H/2, W/2), [0, 1].
            told: of ``told``.
        """
        y, uv = (plane.numpy() for plane in noisy)
        state = [y[:1], uv[:1], np.zeros((1, self._hidden, *uv.shape[2:]), np.float32)]
        request = self._compiled(y.shape[2], y.shape[3], told.shape).create_infer_request()
        for index in range(len(y)):
            if index and self._inputs is SECOND_INPUTS:
                state = self._aligned(state, y[index : index + 1])
            values = (y[index : index + 1], uv[index : index + 1], told, *state)
            inputs = dict(zip(self._inputs, values, strict=True))
            results = request.infer(inputs)
            outputs = {name: results[name].copy() for name in OUTPUTS}
            yield inputs, outputs
            state = list(outputs.values())

    @staticmethod
    def _aligned(state: Sequence[Pixels], y: Pixels) -> list[Pixels]:
        moved = align(torch.from_numpy(y), *map(torch.from_numpy, state))
        return [value.contiguous().numpy() for value in moved]

    def _compiled(self, rows: int, columns: int, told: tuple[int, ...]) -> ov.CompiledModel:
        small = (rows // 2, columns // 2)
        y, uv = (1, 1, rows, columns), (1, 2, *small)
        shapes = (y, uv, told, y, uv, (1, self._hidden, *small))
        graph = self._graph.clone()
        graph.reshape(dict(zip(self._inputs, shapes, strict=True)))
        return self._core.compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


def calibration(source: Path, clips: list[Tensor], draws: int, seed: int) -> Iterator[Sample]:
    """Inputs of single frames of noisy sequences, in the middle of the float network's run over them.

    Args:
        source: float graph.
        clips: each (T, 3, H, W) RGB in [0, 1].
        draws: sequences of each clip, every one with noise of another kind and strength.
        seed: of the noise.
    """
    player = Player(source)
    generator = torch.Generator().manual_seed(seed)
    for clip in clips:
        kept = set(np.linspace(0, len(clip) - 1, KEPT).round().astype(int).tolist())
        for _ in range(draws):
            noisy, target, _ = degrade(clip, NoiseMix(), generator, through_encoder)
            for index, (inputs, _) in enumerate(player.play(noisy, player.told(noisy, target))):
                if index in kept:
                    yield inputs


def psnr(player: Player, clip: Tensor, sigma: int) -> float:
    """PSNR-Y in dB of the last frames of a clip that got white RGB noise, 8-bit scale."""
    generator = torch.Generator().manual_seed(sigma)
    noise = torch.randn(clip.shape, generator=generator) * (sigma / 255)
    clean = rgb_to_planes(clip)
    noisy = Planes420(*(p.mul(255).round().div(255) for p in rgb_to_planes((clip + noise).clamp(0, 1))))
    told = player.told(noisy, clean)
    outputs = np.concatenate([outputs["y_clean"] for _, outputs in player.play(noisy, told)])
    return measuring.psnr(outputs[-LAST:], clean.y.numpy()[-LAST:], peak=1.0)


def losses(source: Path, trial: Path, clips: list[Tensor]) -> dict[int, list[float]]:
    """What the int8 graph loses against the float one, dB of each clip at each sigma."""
    whole, small = Player(source), Player(trial)
    return {
        sigma: [psnr(whole, clip, sigma) - psnr(small, clip, sigma) for clip in clips] for sigma in SIGMAS
    }


def report(lost: dict[int, list[float]], names: list[str]) -> None:
    """A table: clips down, noise levels across."""
    width = max(len(name) for name in (*names, "mean"))
    print(" " * width, *(f"sigma {sigma:2}" for sigma in lost), "(loss of PSNR-Y, dB)")
    for name, row in zip(names, zip(*lost.values(), strict=True), strict=True):
        print(name.ljust(width), *(f"{value:8.3f}" for value in row))
    print("mean".ljust(width), *(f"{np.mean(row):8.3f}" for row in lost.values()))


def quantize(source: Path, target: Path, options: argparse.Namespace) -> int:
    """Calibrate, quantise, measure; ``target`` is written only if the mean loss keeps the limit. Exit status."""
    paths = sorted(options.clips.iterdir())
    held_out = options.validate or paths[::4]
    # Small ones for the calibration: the quantiser holds every activation of every sample in memory.
    calibrated = _middles([path for path in paths if path not in held_out], options.frames, options.size // 2)
    measured = _middles(held_out, options.frames, options.size)
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder) / target.name
        quantize_graph(source, trial, calibration(source, calibrated, options.draws, options.seed))
        lost = losses(source, trial, measured)
        report(lost, [path.name for path in held_out])
        worst = max(float(np.mean(row)) for row in lost.values())
        if not worst <= options.limit:
            print(f"quantize.py: int8 loses {worst:.3f} dB, limit {options.limit}; not kept", file=sys.stderr)
            return 1
        partial = target.with_name(target.name + ".partial")
        shutil.copyfile(trial, partial)
        partial.replace(target)
        record_checksums(target)
    print(f"{target.name}: {target.stat().st_size / 1000:.0f} kB, of {source.stat().st_size / 1000:.0f}")
    return 0


def _middles(paths: list[Path], frames: int, size: int) -> list[Tensor]:
    return [validation_clip(path, torch.device("cpu"), frames, size) for path in paths]


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", help="name of the model, rt-s or engines/next/rt-s")
    parser.add_argument("--clips", type=Path, required=True, help="folder of near-lossless video clips")
    parser.add_argument(
        "--validate",
        type=Path,
        nargs="*",
        default=[],
        help="clips to measure on; without them every fourth of --clips, which then is not calibrated with",
    )
    parser.add_argument("--frames", type=int, default=12, help="frames of a sequence")
    parser.add_argument("--size", type=int, default=256, help="side of the measured frames in pixels")
    parser.add_argument("--draws", type=int, default=3, help="noisy sequences made of each clip")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--limit", type=float, default=0.1, help="dB that it may lose on average at any sigma"
    )
    return parser.parse_args(arguments)


def main() -> int:
    """Run the command line."""
    options = parse()
    weights = model_file(options.name, ".safetensors")
    target = weights.with_name(f"{weights.stem}{PRECISIONS['int8']}")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / f"{weights.stem}.onnx"
        export(load_network(weights), source)
        return quantize(source, target, options)


if __name__ == "__main__":
    sys.exit(main())
