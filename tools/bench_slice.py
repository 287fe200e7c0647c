"""Measure ``malle_slice``: the fused OpenVINO operator beside standard operations, ONNX Runtime and torch.

    python tools/bench_slice.py --threads 2

Each number is the median of the time of one call, input tensor to output tensor, in ms: of the slice together with the
1x1 convolution that makes its grid of 16 channels, as in the networks, since runtimes store what lies between the two
as they like. ``ratio`` is how many times faster this is with the fused operator than with OpenVINO's standard
operations, which installations without a compiler get.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
import torch.nn.functional as F

from malle_rt.measuring import processor_name
from malle_rt.ops.decomposed import conversion_extension
from malle_rt.ops.native import load_extension
from malle_rt.ops.onnx import DOMAIN, OP_TYPE, OPSET, functions
from malle_rt.ops.reference import malle_slice
from malle_rt.vino import ov

TAIL = 16  # channels that a grid is made of


@dataclass(frozen=True)
class Case:
    """One call: x is (1, channels, height, width); the grid, and what it is made of, ``stride`` times smaller."""

    channels: int
    height: int
    width: int
    kernel_size: int
    stride: int
    groups: int

    @property
    def shapes(self) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """Shapes of x, of what the grid is made of, and of the layer's weights."""
        coarse = (self.height // self.stride, self.width // self.stride)
        values = self.groups * (self.kernel_size**2 + 1)
        return (1, self.channels, self.height, self.width), (1, TAIL, *coarse), (values, TAIL, 1, 1)

    def __str__(self) -> str:
        size = f"{self.channels}x{self.height}x{self.width}"
        return f"{size:>11}  K={self.kernel_size} s={self.stride} G={self.groups}"


CASES = (
    Case(1, 360, 640, kernel_size=5, stride=4, groups=1),
    Case(2, 180, 320, kernel_size=3, stride=2, groups=1),
    Case(1, 360, 640, kernel_size=5, stride=2, groups=1),
    Case(2, 180, 320, kernel_size=3, stride=1, groups=1),
    Case(16, 176, 320, kernel_size=3, stride=8, groups=16),
    Case(16, 176, 320, kernel_size=3, stride=8, groups=4),
    Case(48, 96, 160, kernel_size=3, stride=8, groups=48),
)


def median_ms(call: Callable[[], object], repeats: int) -> float:
    """Median time of a call after a short warm-up."""
    for _ in range(3):
        call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)


def graph(case: Case, weights: np.ndarray) -> onnx.ModelProto:
    """A model of two nodes: the layer that makes the grid, and the slice."""
    info, opset = onnx.helper.make_tensor_value_info, onnx.helper.make_opsetid
    node = onnx.helper.make_node(OP_TYPE, ["x", "grid"], ["y"], domain=DOMAIN, kernel_size=case.kernel_size)
    layer = onnx.helper.make_node("Conv", ["tail", "weights"], ["grid"])
    x, tail, _ = case.shapes
    inputs = [info("x", onnx.TensorProto.FLOAT, x), info("tail", onnx.TensorProto.FLOAT, tail)]
    outputs = [info("y", onnx.TensorProto.FLOAT, x)]
    constants = [onnx.numpy_helper.from_array(weights, "weights")]
    body = onnx.helper.make_graph([layer, node], "slice", inputs, outputs, constants)
    return onnx.helper.make_model(
        body, opset_imports=[opset("", OPSET), opset(DOMAIN, 1)], functions=functions(OP_TYPE), ir_version=10
    )


def openvino_call(
    core: ov.Core, model: bytes, x: np.ndarray, tail: np.ndarray, threads: int
) -> Callable[[], object]:
    """One inference with the inputs' memory shared, as in a frame loop."""
    options = {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    request = core.compile_model(core.read_model(model), "CPU", options).create_infer_request()
    return lambda: request.infer([x, tail], share_inputs=True, share_outputs=True)


def onnxruntime_call(model: bytes, x: np.ndarray, tail: np.ndarray, threads: int) -> Callable[[], object]:
    """The function body that the file carries."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"x": x, "tail": tail})


def measure(case: Case, *, threads: int, repeats: int) -> dict[str, float]:
    """Milliseconds of each implementation of one case."""
    random = np.random.default_rng(0)
    x, tail, weights = (random.uniform(-1, 1, shape).astype(np.float32) for shape in case.shapes)
    model = graph(case, weights).SerializeToString()
    fused, standard = ov.Core(), ov.Core()
    if not load_extension(fused):
        raise SystemExit("the fused operator is not built; there is nothing to compare")
    standard.add_extension(conversion_extension())
    in_x, in_tail, kernel = (torch.from_numpy(each) for each in (x, tail, weights))
    with torch.inference_mode():
        return {
            "fused": median_ms(openvino_call(fused, model, x, tail, threads), 4 * repeats),
            "openvino": median_ms(openvino_call(standard, model, x, tail, threads), repeats),
            "onnxruntime": median_ms(onnxruntime_call(model, x, tail, threads), repeats),
            "torch": median_ms(
                lambda: malle_slice(in_x, F.conv2d(in_tail, kernel), case.kernel_size), repeats
            ),
        }


def main() -> None:
    """Measure every case and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=2, help="threads of every implementation (default 2)")
    parser.add_argument(
        "--repeats", type=int, default=25, help="timed calls; four times as many of the fused one"
    )
    parser.add_argument(
        "--json", type=Path, help="also write the numbers, and what they were measured with, here"
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    machine = {
        "cpu": processor_name(),
        "threads": options.threads,
        "openvino": ov.__version__,
        "torch": torch.__version__,
    }
    print(", ".join(f"{key} {value}" for key, value in machine.items()))
    print(
        f"{'x':>11}{'':18}{'fused':>8}{'openvino':>10}{'onnxruntime':>13}{'torch':>8}{'ratio':>8}   median ms"
    )
    rows = []
    for case in CASES:
        times = measure(case, threads=options.threads, repeats=options.repeats)
        ratio = times["openvino"] / times["fused"]
        print(
            f"{case!s:<29}{times['fused']:8.2f}{times['openvino']:10.2f}{times['onnxruntime']:13.2f}"
            f"{times['torch']:8.2f}{ratio:7.1f}x",
            flush=True,
        )
        rows.append({**asdict(case), **times})
    if options.json:
        options.json.write_text(json.dumps({"machine": machine, "median_ms": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
