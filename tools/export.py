"""Export trained weights to what ships: engines/NAME.onnx, engines/NAME.f16.onnx, engines/NAME.safetensors.

    python tools/export.py runs/rt-s/best.safetensors --name rt-s
    python tools/export.py runs/rt-l/best.safetensors --name rt-l --precision fp16
    python tools/export.py runs/mallenet-m/best.safetensors --name mallenet-m --precision fp16

The weights are rounded to float16 first, so that every file holds the same ones. The graphs are checked against the
network before anything is replaced. TensorRT takes a graph's types as they are, so there is one in float16
throughout; where no float32 graph is written, it is also the one that CPUs widen. Of MalleNet-RT's second generation
only the float32 graph has the operators RTInput and RTOutput; the float16 one has what these are made of.
"""

from __future__ import annotations

import argparse
import copy
import shutil
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from malle_rt.contract import FRAME, NEXT, STATE
from malle_rt.errors import BackendError
from malle_rt.models import PRECISIONS, engines_folder, record_checksums
from malle_rt.net import rt2
from malle_rt.net.mallenet import MalleNet
from malle_rt.net.rt import MalleNetRT, RTState
from malle_rt.net.weights import load_network, save_network
from malle_rt.ops.onnx import export_onnx

Net = MalleNetRT | MalleNet | rt2.MalleNetRT | rt2.FoldedRT

INPUTS = (*FRAME, "sigma", *STATE)
SECOND_INPUTS = (*FRAME, "noise", *STATE)  # of the second generation
OUTPUTS = NEXT
PHOTO_INPUTS, PHOTO_OUTPUTS = ("noisy",), ("clean",)


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


class PortablePhoto(nn.Module):
    """The network for photographs, of sides that are multiples of its own: nothing is padded in the graph."""

    def __init__(self, net: MalleNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, noisy: Tensor) -> tuple[Tensor]:
        """Args: noisy (1, 3, H, W) RGB in [0, 1]."""
        return (noisy - self.net.noise(noisy),)


def portable(net: Net) -> nn.Module:
    """The network as the graph has it."""
    if isinstance(net, MalleNet):
        return PortablePhoto(net)
    if isinstance(net, rt2.MalleNetRT):
        return rt2.FoldedRT(net, fused=True)
    return net if isinstance(net, rt2.FoldedRT) else PortableRT(net)


def names(net: Net) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Of the graph's inputs and outputs."""
    if isinstance(net, MalleNet):
        return PHOTO_INPUTS, PHOTO_OUTPUTS
    return (INPUTS if isinstance(net, MalleNetRT) else SECOND_INPUTS), OUTPUTS


def example(net: Net, height: int, width: int) -> tuple[Tensor, ...]:
    """Random inputs of one frame, state included, from a fixed seed."""
    generator = torch.Generator().manual_seed(0)
    if isinstance(net, MalleNet):
        return (torch.rand(1, 3, height, width, generator=generator),)
    y = torch.rand(1, 1, height, width, generator=generator)
    uv = torch.rand(1, 2, height // 2, width // 2, generator=generator)
    state = (torch.rand(value.shape, generator=generator) for value in net.first_state(y, uv))
    levels = [0.05] if isinstance(net, MalleNetRT) else [0.03, 0.06, 0.04, 0.3]
    return (y, uv, torch.tensor(levels).view(1, -1, 1, 1), *state)


def rounded(net: nn.Module) -> None:
    """Make the weights such as float16 holds exactly."""
    for value in net.parameters():
        value.data = value.data.half().float()


def half(net: Net) -> Net:
    """A copy of the network in float16, balanced kernels rounded once."""
    if isinstance(net, rt2.MalleNetRT):
        return rt2.FoldedRT(net).half()
    return net.folded().half() if isinstance(net, MalleNetRT) else copy.deepcopy(net).half()


def export(net: Net, path: Path) -> None:
    """Write the portable graph in the network's own type, height and width dynamic in steps of its multiple."""
    dtype = next(net.parameters()).dtype
    inputs, outputs = names(net)
    export_onnx(
        portable(net).eval(),
        [value.to(dtype) for value in example(net, 8 * net.multiple, 10 * net.multiple)],
        path,
        input_names=inputs,
        output_names=outputs,
        dynamic_shapes=_dynamic_shapes(net),
    )


def _dynamic_shapes(net: Net) -> tuple[dict[int, Any], ...]:
    rows, columns = (torch.export.Dim(name, min=2, max=1024) for name in ("rows", "columns"))
    if isinstance(net, MalleNet):
        return ({2: net.multiple * rows, 3: net.multiple * columns},)
    step = net.multiple // 2
    full = {2: 2 * step * rows, 3: 2 * step * columns}
    coarse = {2: step * rows, 3: step * columns}
    return (full, coarse, {}, full, coarse, coarse)


def checked_inputs(net: Net) -> tuple[Tensor, ...]:
    """Inputs of a size that nothing was traced at."""
    return example(net, 5 * net.multiple, 7 * net.multiple)


@torch.inference_mode()
def run(net: Net, inputs: Sequence[Tensor]) -> list[Tensor]:
    """The network's outputs in its own type, given in float32."""
    dtype = next(net.parameters()).dtype
    return [value.float() for value in portable(net)(*(value.to(dtype) for value in inputs))]


def largest(got: Iterable[Tensor], wanted: Iterable[Tensor]) -> float:
    """The largest difference anywhere."""
    return max(float((g - w).abs().max()) for g, w in zip(got, wanted, strict=True))


def worst_difference(net: Net, path: Path) -> float:
    """Largest difference between a graph in ONNX Runtime and the network.

    Args:
        net: in float32.
        path: its graph, in float32 or float16.
    """
    inputs = checked_inputs(net)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    dtype = np.float16 if session.get_inputs()[0].type == "tensor(float16)" else np.float32
    got = session.run(None, {n: v.numpy().astype(dtype) for n, v in zip(names(net)[0], inputs, strict=True)})
    return largest((torch.from_numpy(value).float() for value in got), run(net, inputs))


def allowed_difference(net: Net, precision: str) -> float:
    """What a graph may differ from the network: twice what torch itself loses in that precision."""
    if precision == "fp32":
        return 1e-4  # sums in another order; one fortieth of an 8-bit step
    inputs = checked_inputs(net)
    return 2 * largest(run(half(net), inputs), run(net, inputs))


def write_checked(net: Net, name: str, precision: str, folder: Path) -> Path:
    """Export to a folder; returns the file. Raises ``BackendError`` when the graph is not the network."""
    path = folder / f"{name}{PRECISIONS[precision]}"
    export(half(net) if precision == "fp16" else net, path)
    difference, allowed = worst_difference(net, path), allowed_difference(net, precision)
    if not difference <= allowed:
        raise BackendError(
            f"{path.name} differs from the network by {difference:.2g}, more than {allowed:.2g}"
        )
    print(f"{path.name}: differs from the network by {difference:.1e} at most, {allowed:.1e} allowed")
    return path


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", type=Path, help="safetensors file of tools/train.py")
    parser.add_argument("--name", required=True, help="name of the model, for example rt-s")
    parser.add_argument(
        "--precision", nargs="+", choices=("fp32", "fp16"), default=["fp32", "fp16"], help="graphs to write"
    )
    parser.add_argument(
        "--folder",
        type=Path,
        default=engines_folder(),
        help="where to (engines): --model FOLDER/NAME then runs it",
    )
    options = parser.parse_args()
    net = load_network(options.weights)
    rounded(net)
    with tempfile.TemporaryDirectory() as folder:
        try:
            trials = [write_checked(net, options.name, each, Path(folder)) for each in options.precision]
        except BackendError as exc:
            print(f"export.py: {exc}; nothing was replaced", file=sys.stderr)
            return 1
        for trial in trials:
            shutil.copyfile(trial, options.folder / trial.name)
    weights = options.folder / f"{options.name}.safetensors"
    if weights.exists() and weights.samefile(options.weights):
        pass  # as they are, notes of their training included
    else:
        save_network(net, weights, dtype=torch.float16)
    record_checksums(weights, *(options.folder / trial.name for trial in trials))
    return 0


if __name__ == "__main__":
    sys.exit(main())
