"""A network for photographs in OpenVINO."""

from __future__ import annotations

from malle_rt.backends.base import BackendInfo, usable_cpus
from malle_rt.backends.photo import PhotoNet, Pixels
from malle_rt.errors import BackendError, KernelError
from malle_rt.models import checksum, photo_graph
from malle_rt.ops.native import load_extension
from malle_rt.vino import ov

__all__ = ["OpenVinoPhotoNet"]


class OpenVinoPhotoNet(PhotoNet):
    """Run the portable graph of a network for photographs on the CPU, computed in float32.

    Args:
        model: name of the network, for example "mallenet-m".
        threads: of the CPU; None for all that this process may use.

    Raises:
        ConfigError: for a model that is not at hand.
        BackendError: when OpenVINO cannot read the graph.
    """

    def __init__(self, model: str, *, threads: int | None = None) -> None:
        super().__init__()
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

    def _prepare(self, rows: int, columns: int) -> _Compiled:
        options = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": self._threads,
            "INFERENCE_PRECISION_HINT": "f32",
        }
        try:
            graph = self._graph.clone()
            graph.reshape([1, rows, columns, 3])
            return _Compiled(self._core.compile_model(graph, "CPU", options).create_infer_request())
        except RuntimeError as exc:
            raise BackendError(
                f"OpenVINO cannot compile {self.info.model} for {columns}x{rows}: {exc}"
            ) from exc


class _Compiled:
    """A ``ReadyPhotoNet``."""

    def __init__(self, request: ov.InferRequest) -> None:
        self._request = request

    def run(self, noisy: Pixels) -> Pixels:
        try:
            self._request.infer({0: noisy[None]}, share_inputs=True)
        except RuntimeError as exc:
            raise KernelError(f"OpenVINO failed on {noisy.shape[1]}x{noisy.shape[0]}: {exc}") from exc
        clean: Pixels = self._request.get_output_tensor().data[0]
        return clean

    def close(self) -> None:
        """OpenVINO releases it with the last reference."""


def _with_last_channels(graph: ov.Model) -> ov.Model:
    """The graph with (1, H, W, 3) float32 in and out, as pictures lie in memory."""
    steps = ov.preprocess.PrePostProcessor(graph)
    for end in (steps.input(), steps.output()):
        end.model().set_layout(ov.Layout("NCHW"))
        end.tensor().set_element_type(ov.Type.f32).set_layout(ov.Layout("NHWC"))
    return steps.build()
