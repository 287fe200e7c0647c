"""Export trained weights to what ships: engines/NAME.onnx, engines/NAME.safetensors.

    python tools/export.py runs/rt-s/best.safetensors --name rt-s

The graph is checked against the network before anything is replaced.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from malle_rt.models import engines_folder
from malle_rt.net.rt import MalleNetRT, RTState
from malle_rt.net.weights import load_rt, save_rt
from malle_rt.ops.onnx import export_onnx

INPUTS = ("y", "uv", "sigma", "y_before", "uv_before", "hidden_before")
OUTPUTS = ("y_clean", "uv_clean", "hidden")


class PortableRT(nn.Module):
    """The network with its state as plain inputs, as a graph wants it."""

    def __init__(self, net: MalleNetRT) -> None:
        super().__init__()
        self.net = net

    def forward(
        self, y: Tensor, uv: Tensor, sigma: Tensor, y_before: Tensor, uv_before: Tensor, hidden_before: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See ``MalleNetRT.forward``; N is 1."""
        clean: tuple[Tensor, Tensor, Tensor] = self.net(
            y, uv, sigma, RTState(y_before, uv_before, hidden_before)
        )
        return clean


def example(net: MalleNetRT, height: int, width: int) -> tuple[Tensor, ...]:
    """Random inputs of one frame, state included, from a fixed seed."""
    generator = torch.Generator().manual_seed(0)
    y = torch.rand(1, 1, height, width, generator=generator)
    uv = torch.rand(1, 2, height // 2, width // 2, generator=generator)
    state = (torch.rand(value.shape, generator=generator) for value in net.first_state(y, uv))
    return (y, uv, torch.full((1, 1, 1, 1), 0.05), *state)


def export(net: MalleNetRT, path: Path) -> None:
    """Write the portable graph, height and width dynamic in steps of the network's multiple."""
    step = net.multiple // 2
    rows, columns = (torch.export.Dim(name, min=2, max=1024) for name in ("rows", "columns"))
    full = {2: 2 * step * rows, 3: 2 * step * columns}
    half = {2: step * rows, 3: step * columns}
    export_onnx(
        PortableRT(net).eval(),
        example(net, 8 * net.multiple, 10 * net.multiple),
        path,
        input_names=INPUTS,
        output_names=OUTPUTS,
        dynamic_shapes=(full, half, {}, full, half, half),
    )


def worst_difference(net: MalleNetRT, path: Path) -> float:
    """Largest difference between the graph in ONNX Runtime and the network, at a size it was not traced at."""
    inputs = example(net, 5 * net.multiple, 7 * net.multiple)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    got = session.run(None, {n: v.numpy() for n, v in zip(INPUTS, inputs, strict=True)})
    with torch.inference_mode():
        wanted = PortableRT(net)(*inputs)
    return max(float(np.abs(g - w.numpy()).max()) for g, w in zip(got, wanted, strict=True))


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", type=Path, help="safetensors file of tools/train.py")
    parser.add_argument("--name", required=True, help="name of the model, for example rt-s")
    options = parser.parse_args()
    net = load_rt(options.weights)
    target = engines_folder() / f"{options.name}.onnx"
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder) / target.name
        export(net, trial)
        difference = worst_difference(net, trial)
        if not difference < 1e-4:
            print(
                f"export.py: the graph differs from the network by {difference:.2g}; not kept",
                file=sys.stderr,
            )
            return 1
        shutil.copyfile(trial, target)
    save_rt(net, target.with_suffix(".safetensors"))
    print(f"{target.name}: differs from the network by {difference:.1e} at most")
    return 0


if __name__ == "__main__":
    sys.exit(main())
