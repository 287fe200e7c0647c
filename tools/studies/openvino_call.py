"""Any of our networks in OpenVINO, with the compiled slice, as a call that can be timed."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from torch import Tensor, nn

from malle_rt.errors import BackendUnavailable
from malle_rt.ops.onnx import export_onnx

__all__ = ["openvino_call"]


def openvino_call(
    net: nn.Module, inputs: Sequence[Tensor], threads: int, *, outputs: Sequence[str] = ("clean",)
) -> Callable[[], object]:
    """Make everything ready but the call itself, tensor to tensor, in float32.

    Args:
        net: in eval mode, on the CPU.
        inputs: its positional arguments, float32; their shapes are final.
        threads: of the CPU.
        outputs: a name for each tensor that it returns.

    Raises:
        BackendUnavailable: OpenVINO would run the slice in slow standard operations.
    """
    from malle_rt.ops.native import load_extension
    from malle_rt.vino import ov  # a machine that only trains has none

    core = ov.Core()
    if not load_extension(core):
        raise BackendUnavailable("the compiled slice is missing: install malle-rt where a C++ compiler is")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        names = [f"input{index}" for index in range(len(inputs))]
        export_onnx(net, inputs, path, input_names=names, output_names=outputs)
        graph = core.read_model(path)
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": str(threads),
    }
    request = core.compile_model(graph, "CPU", settings).create_infer_request()
    arrays = [value.numpy() for value in inputs]
    return lambda: request.infer(arrays)
