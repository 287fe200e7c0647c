"""A network for photographs in OpenVINO: RGB in, RGB out, one tile at a time."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import numpy.typing as npt

from malle_rt.backends.base import BackendInfo, usable_cpus
from malle_rt.errors import BackendError, KernelError
from malle_rt.models import checksum, photo_graph
from malle_rt.ops.native import load_extension
from malle_rt.vino import ov

__all__ = ["MULTIPLE", "OpenVinoPhotoNet"]

MULTIPLE = 64  # as MalleNet.multiple, which is out of reach without torch
_KEPT = 2  # sizes whose compiled graph is kept: the tile, and that of a picture smaller than one

Pixels = npt.NDArray[np.float32]


class OpenVinoPhotoNet:
    """Run the portable graph of a network for photographs on the CPU, computed in float32.

    One thread at a time may call it.

    Args:
        model: name of the network, for example "mallenet-m".
        threads: of the CPU; None for all that this process may use.

    Raises:
        ConfigError: for a model that is not at hand.
        BackendError: when OpenVINO cannot read the graph.
    """

    def __init__(self, model: str, *, threads: int | None = None) -> None:
        path = photo_graph(model)
        self._core = ov.Core()
        fused = load_extension(self._core)
        self._threads = threads or usable_cpus()
        try:
            self._graph = _with_last_channels(self._core.read_model(path))
        except RuntimeError as exc:
            raise BackendError(f"OpenVINO cannot read {path}: {exc}") from exc
        notes = () if fused else ("no fused slice",)
        device = f"CPU ({self._threads} threads)"
        self.info = BackendInfo("openvino", model, "fp32", device, checksum(path), notes)
        self._requests: OrderedDict[tuple[int, int], ov.InferRequest] = OrderedDict()

    def run(self, noisy: Pixels) -> Pixels:
        """Denoise one picture or tile.

        Args:
            noisy: (H, W, 3) RGB in [0, 1]; H and W are multiples of ``MULTIPLE``.

        Returns:
            Same shape, not clipped; the memory is the network's own until the next call.

        Raises:
            BackendError: the network cannot be compiled for this size, or fails.
        """
        request = self._prepared(noisy.shape[0], noisy.shape[1])
        try:
            request.infer({0: noisy[None]}, share_inputs=True)
        except RuntimeError as exc:
            raise KernelError(f"OpenVINO failed on {noisy.shape[1]}x{noisy.shape[0]}: {exc}") from exc
        clean: Pixels = request.get_output_tensor().data[0]
        return clean

    def close(self) -> None:
        """Release what the sizes hold. May be called twice."""
        self._requests.clear()

    def _prepared(self, rows: int, columns: int) -> ov.InferRequest:
        size = rows, columns
        if size not in self._requests:
            while len(self._requests) >= _KEPT:
                self._requests.popitem(last=False)
            options = {
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_NUM_THREADS": self._threads,
                "INFERENCE_PRECISION_HINT": "f32",
            }
            try:
                graph = self._graph.clone()
                graph.reshape([1, rows, columns, 3])
                compiled = self._core.compile_model(graph, "CPU", options)
            except RuntimeError as exc:
                raise BackendError(
                    f"OpenVINO cannot compile {self.info.model} for {columns}x{rows}: {exc}"
                ) from exc
            self._requests[size] = compiled.create_infer_request()
        self._requests.move_to_end(size)
        return self._requests[size]


def _with_last_channels(graph: ov.Model) -> ov.Model:
    """The graph with (1, H, W, 3) float32 in and out, as pictures lie in memory."""
    steps = ov.preprocess.PrePostProcessor(graph)
    for end in (steps.input(), steps.output()):
        end.model().set_layout(ov.Layout("NCHW"))
        end.tensor().set_element_type(ov.Type.f32).set_layout(ov.Layout("NHWC"))
    return steps.build()
