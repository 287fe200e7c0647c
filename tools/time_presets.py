"""What a frame costs in networks of several sizes, untrained: to settle a preset before it is trained.

    python tools/time_presets.py rt-s rt-xs rt-m --beside rt-s --size 640x360
    python tools/time_presets.py "rt-s" "16,24,32;1,1,1;24;8"

A network is a preset of MalleNet-RT's second generation, or widths, depths, tail and hidden channels. ``--beside`` adds
a model that ships. All take turns, a few frames each, on one thread; what counts is the processor time of this process,
which other programs disturb little. The table says where that time goes, by kind of layer.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from export import export
from int8_graph import Sample, quantize_graph

from malle_rt.backends.base import FrameShape
from malle_rt.backends.openvino import integer_graph, read_graph
from malle_rt.contract import MULTIPLE
from malle_rt.models import graph_file
from malle_rt.net.cost import rt_kmac_per_pixel
from malle_rt.net.rt2 import PRESETS, MalleNetRT, RTConfig
from malle_rt.ops.native import load_extension
from malle_rt.vino import ov

_WARM_UP = 3  # frames
# Kinds of layers as OpenVINO's profile has them; everything else is "other".
_KINDS = {
    "convolution": ("Convolution", "ConvolutionBackpropData", "Deconvolution"),
    "reorder": ("Reorder", "Transpose", "Convert"),
    "input": ("RTInput",),
    "output": ("RTOutput", "MalleSlice"),
    "align": ("RTAlign",),
}


@dataclass
class Timed:
    """A network under measurement.

    Attributes:
        name: of the row.
        cost: kMAC per pixel of the luma; None where it is not known.
        request: runs a frame.
        seconds: of processor time, each frame.
        kinds: milliseconds by kind of layer, summed over ``profiled`` frames.
    """

    name: str
    cost: float | None
    request: ov.InferRequest
    seconds: list[float] = field(default_factory=list)
    kinds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    profiled: int = 0

    def run(self, frames: int) -> None:
        """Time so many frames."""
        for _ in range(frames):
            begin = time.process_time()
            self.request.infer()
            self.seconds.append(time.process_time() - begin)
            for entry in self.request.get_profiling_info():
                self.kinds[_kind(entry.node_type)] += entry.real_time.total_seconds() * 1000
            self.profiled += 1


def _kind(node_type: str) -> str:
    return next((kind for kind, types in _KINDS.items() if node_type in types), "other")


def config_of(text: str) -> RTConfig:
    """A preset by name, or "16,32,64;1,2,2;48;8". Raises ``ValueError``."""
    if text in PRESETS:
        return PRESETS[text]
    widths, depths, tail, hidden = text.split(";")
    first, second, third = map(int, widths.split(","))
    one, two, three = map(int, depths.split(","))
    return RTConfig(
        widths=(first, second, third), depths=(one, two, three), tail=int(tail), hidden=int(hidden)
    )


def untrained(text: str, precision: str, folder: Path) -> tuple[Path, float]:
    """Graph of an untrained network in "fp32" or "int8", and its cost."""
    torch.manual_seed(0)
    net = MalleNetRT(config_of(text)).eval()
    path = folder / "net.onnx"
    export(net, path)
    if precision == "int8":
        quantize_graph(path, folder / "net.int8.onnx", _samples(net))
        path = folder / "net.int8.onnx"
    return path, rt_kmac_per_pixel(net)


def _samples(net: MalleNetRT) -> Iterator[Sample]:
    rng = np.random.default_rng(0)
    y, uv = rng.random((1, 1, 64, 64), np.float32), rng.random((1, 2, 32, 32), np.float32)
    hidden = rng.standard_normal((1, net.config.hidden, 32, 32), np.float32)
    told = np.full((1, 4, 1, 1), 0.05, np.float32)
    yield {"y": y, "uv": uv, "noise": told, "y_before": y, "uv_before": uv, "hidden_before": hidden}


def timed(core: ov.Core, name: str, path: Path, cost: float | None, size: tuple[int, int]) -> Timed:
    """A graph made ready for a frame size."""
    graph = integer_graph(read_graph(core, path), FrameShape(*size), align=True)
    options = {"PERF_COUNT": True, "INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(graph, "CPU", options)
    request = compiled.create_infer_request()
    rng = np.random.default_rng(0)
    for port in compiled.inputs:
        tensor = request.get_tensor(port)
        codes = tensor.element_type == ov.Type.u8
        values = rng.random(tensor.shape, np.float32)
        tensor.data[...] = (values * 255).astype(np.uint8) if codes else values
        if port.any_name in ("noise", "sigma"):
            tensor.data[...] = 0.05
    return Timed(name, cost, request)


def report(rows: list[Timed]) -> None:
    """Print the table; ratios are to the first row."""
    kinds = [*_KINDS, "other"]
    print("network", "kMAC", "ms", "ratio", *(f"{kind} ms" for kind in kinds), "not convolution", sep=" | ")
    first = float(np.median(rows[0].seconds))
    for row in rows:
        found = float(np.median(row.seconds))
        per_frame = {kind: row.kinds[kind] / row.profiled for kind in kinds}
        rest = 1 - per_frame["convolution"] / max(sum(per_frame.values()), 1e-9)
        cost = "" if row.cost is None else f"{row.cost:.2f}"
        times = (f"{per_frame[kind]:.2f}" for kind in kinds)
        print(row.name, cost, f"{1000 * found:.2f}", f"{found / first:.3f}", *times, f"{rest:.0%}", sep=" | ")


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("networks", nargs="+", metavar="NETWORK")
    parser.add_argument("--beside", nargs="*", default=[], metavar="MODEL", help="models that ship (none)")
    parser.add_argument("--size", default="640x360", metavar="WxH")
    parser.add_argument("--precision", choices=("int8", "fp32"), default="int8")
    parser.add_argument("--rounds", type=int, default=10, help="turns of each network (10)")
    parser.add_argument("--frames", type=int, default=3, help="of a turn (3)")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    if width % MULTIPLE or height % MULTIPLE:
        parser.error(f"--size: width and height must be multiples of {MULTIPLE}, got {options.size}")
    core = ov.Core()
    if not load_extension(core):
        parser.error("the fused operators are not built here")
    rows = []
    for name in options.networks:
        with tempfile.TemporaryDirectory() as folder:
            path, cost = untrained(name, options.precision, Path(folder))
            rows.append(timed(core, name, path, cost, (width, height)))
    for name in options.beside:
        path = graph_file(name, options.precision)
        rows.append(timed(core, f"{name} (ships)", path, None, (width, height)))
    for row in rows:
        row.run(_WARM_UP)
        row.seconds.clear()
        row.kinds.clear()
        row.profiled = 0
    for _ in range(options.rounds):
        for row in rows:
            row.run(options.frames)
    report(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
