"""OpenVINO: the embedded default on every machine without an NVIDIA GPU.

The portable graph works on floats in [0, 1]. Here it is wrapped into one that takes the decoder's integers and
gives integers back, so that scaling, rounding and clipping run inside the runtime too; the floats it also returns
are the state of the next frame and never leave the runtime's memory. Where the graph wants its past aligned with the
frame, that is done in front of it.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from malle_rt.backends.base import (
    BackendInfo,
    BlockingSession,
    FrameShape,
    Planes420,
    Session,
    pad_edge,
    usable_cpus,
)
from malle_rt.contract import FRAME, MULTIPLE, NEXT, STATE, TOLD, Noise
from malle_rt.errors import BackendError, KernelError
from malle_rt.models import checksum, float_graph, graph_file
from malle_rt.ops.native import align_node, load_extension
from malle_rt.vino import opset13 as op
from malle_rt.vino import ov

__all__ = ["OpenVinoBackend", "int8_pays", "integer_graph", "read_graph"]

Codes = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]

_CODES = ("y_codes", "uv_codes")

Precision = Literal["int8", "fp32"]
# Flags of Linux's /proc/cpuinfo. INT8 among OpenVINO's OPTIMIZATION_CAPABILITIES does not say that it is fast.
_BYTE_PRODUCTS = {"avx512_vnni", "avx_vnni", "amx_int8"}


class OpenVinoBackend:
    """Run a portable graph with OpenVINO on the CPU.

    Args:
        model: name of the network.
        threads: of the CPU; None for all that this process may use.
        precision: of the network's layers: "fp32", or "int8" from the quantised graph, whose slices and first layer
            are still float32. The state is float32 in both, so sessions of either look the same from outside. A
            network that ships no float32 graph is computed in float32 all the same, with weights rounded to float16.

    Raises:
        ConfigError: for a model that is not at hand in that precision.
        BackendError: when OpenVINO cannot read the graph.
    """

    def __init__(self, model: str, *, threads: int | None = None, precision: Precision = "fp32") -> None:
        self._core = ov.Core()
        fused = load_extension(self._core)
        if not fused:
            path, precision = (
                graph_file(model, "fp16"),
                "fp32",
            )  # the one that has standard operations beside the slice
        else:
            path = float_graph(model) if precision == "fp32" else graph_file(model, precision)
        self._graph = read_graph(self._core, path)
        self._fused = fused
        self._threads = threads or usable_cpus()
        notes: tuple[str, ...] = ()
        told = _told(self._graph)
        if not fused:
            notes = ("no fused slice",)
            if told == "noise":
                notes = (*notes, "motion not followed")
        self._info = BackendInfo(
            name="openvino",
            model=model,
            precision=precision,
            device=f"CPU ({self._threads} threads)",
            weights=checksum(path),
            notes=notes,
            told=told,
        )

    @property
    def info(self) -> BackendInfo:
        """What is running."""
        return self._info

    def prepare(self, shape: FrameShape) -> Session:
        """Compile for one size and bit depth."""
        try:
            graph = integer_graph(self._graph.clone(), shape, align=self._fused)
            compiled = self._core.compile_model(
                graph,
                "CPU",
                {
                    "PERFORMANCE_HINT": "LATENCY",
                    "INFERENCE_NUM_THREADS": self._threads,
                    "INFERENCE_PRECISION_HINT": "f32",
                },
            )
        except RuntimeError as exc:
            raise BackendError(
                f"OpenVINO cannot compile {self._info.model} for {shape.width}x{shape.height}: {exc}"
            ) from exc
        return _OpenVinoSession(compiled, shape)

    def close(self) -> None:
        """Nothing is held outside the sessions."""


def int8_pays(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this CPU multiplies bytes faster than floats: x86 with VNNI or AMX. False where it cannot be told.

    Args:
        cpuinfo: what Linux says about the processor.
    """
    try:
        words = cpuinfo.read_text().split()
    except OSError:
        return False
    return not _BYTE_PRODUCTS.isdisjoint(words)


def read_graph(core: ov.Core, path: Path) -> ov.Model:
    """A portable graph with float32 ends. Raises ``BackendError``."""
    try:
        return _widened(core.read_model(path))
    except RuntimeError as exc:
        raise BackendError(f"OpenVINO cannot read {path}: {exc}") from exc


def _widened(graph: ov.Model) -> ov.Model:
    """The graph with float32 inputs and outputs; what lies between follows the hint that it is compiled with."""
    steps = ov.preprocess.PrePostProcessor(graph)
    for port in graph.inputs:
        steps.input(port.any_name).tensor().set_element_type(ov.Type.f32)
    for port in graph.outputs:
        steps.output(port.any_name).tensor().set_element_type(ov.Type.f32)
    return steps.build()


def integer_graph(graph: ov.Model, shape: FrameShape, *, align: bool) -> ov.Model:
    """The graph at a fixed size, integer planes in and out beside the float state, which is aligned if it is to be."""
    rows, columns = shape.padded(MULTIPLE)
    small = (rows // 2, columns // 2)
    told = _told(graph)
    sizes = {"y": (1, 1, rows, columns), "uv": (1, 2, *small), told: (1, TOLD[told], 1, 1)}
    sizes |= {"y_before": sizes["y"], "uv_before": sizes["uv"]}
    hidden = graph.input("hidden_before").partial_shape[1].get_length()
    graph.reshape({**sizes, "hidden_before": (1, hidden, *small)})
    integer = ov.Type.u8 if shape.bits == 8 else ov.Type.u16
    outputs = {name: graph.output(name) for name in NEXT}
    scaled = {}
    for name in FRAME:
        codes = op.parameter(sizes[name], integer, name=f"{name}_codes")
        codes.output(0).set_names({f"{name}_codes"})
        scaled[name] = op.multiply(op.convert(codes, "f32"), np.float32(1 / shape.largest)).output(0)
        parameter = graph.input(name).get_node()
        _lead(parameter.output(0), scaled[name])
        graph.remove_parameter(parameter)
        graph.add_parameters([codes])
        clean = outputs[f"{name}_clean"].get_node().input_value(0)
        rounded = op.round(op.multiply(clean, np.float32(shape.largest)), "half_to_even")
        result = op.result(op.convert(rounded, "u8" if shape.bits == 8 else "u16"))
        result.output(0).set_names({f"{name}_clean_codes"})
        graph.add_results([result])
    if told == "noise" and align:
        before = [graph.input(name).get_node().output(0) for name in STATE]
        readers = [port.get_target_inputs() for port in before]
        for aligned, ports in zip(align_node(scaled["y"], *before).outputs(), readers, strict=True):
            for port in ports:
                port.replace_source_output(aligned)
    graph.validate_nodes_and_infer_types()
    return graph


def _told(graph: ov.Model) -> str:
    """Which of ``TOLD`` the graph takes; those that are told all of the noise want their past aligned, too."""
    return next(name for name in TOLD if any(name in port.names for port in graph.inputs))


def _lead(old: ov.Output, new: ov.Output) -> None:
    """Let all that reads ``old`` read ``new``."""
    for reader in old.get_target_inputs():
        reader.replace_source_output(new)


class _State:
    """Tensors of one time step, in the order of ``STATE``."""

    def __init__(self, compiled: ov.CompiledModel) -> None:
        self.tensors = [ov.Tensor(ov.Type.f32, compiled.input(name).shape) for name in STATE]

    def start(self, luma: Codes, chroma: Codes, largest: int) -> None:
        """Before the first frame stands that frame itself, and nothing hidden; see ``MalleNetRT.first_state``."""
        y, uv, hidden = (tensor.data for tensor in self.tensors)
        np.multiply(luma, np.float32(1 / largest), out=y)
        np.multiply(chroma, np.float32(1 / largest), out=uv)
        hidden[...] = 0


class _OpenVinoSession(BlockingSession):
    """One compiled size. Two states take turns: one is read while the other is written."""

    def __init__(self, compiled: ov.CompiledModel, shape: FrameShape) -> None:
        self._shape = shape
        self._request = compiled.create_infer_request()
        self._codes = {n: ov.Tensor(compiled.input(n).element_type, compiled.input(n).shape) for n in _CODES}
        for name, tensor in self._codes.items():
            self._request.set_tensor(name, tensor)
        self._told = next(name for name in TOLD if any(name in port.names for port in compiled.inputs))
        self._noise = ov.Tensor(ov.Type.f32, compiled.input(self._told).shape)
        self._request.set_tensor(self._told, self._noise)
        self._states = (_State(compiled), _State(compiled))

    def run(self, planes: Planes420, noise: Noise, state: object | None) -> tuple[Planes420, object]:
        """See ``Session``."""
        before, after = self._turn(state)
        luma, chroma = (self._codes[name].data for name in _CODES)
        pad_edge(planes[0], luma[0, 0])
        pad_edge(planes[1], chroma[0, 0])
        pad_edge(planes[2], chroma[0, 1])
        if state is None:
            before.start(luma, chroma, self._shape.largest)
        self._noise.data[0, :, 0, 0] = noise.sigma / 255 if self._told == "sigma" else noise.scaled()
        for names, values in ((STATE, before), (NEXT, after)):
            for name, tensor in zip(names, values.tensors, strict=True):
                self._request.set_tensor(name, tensor)
        begin = time.perf_counter()
        try:
            self._request.infer()
        except RuntimeError as exc:
            raise KernelError(f"OpenVINO failed on a {self._shape} frame: {exc}") from exc
        self.network_span = begin, time.perf_counter()
        y = self._request.get_tensor("y_clean_codes").data[0, 0]
        uv = self._request.get_tensor("uv_clean_codes").data[0]
        rows, columns = planes[1].shape
        return (
            y[: self._shape.height, : self._shape.width].copy(),
            uv[0, :rows, :columns].copy(),
            uv[1, :rows, :columns].copy(),
        ), after

    def _turn(self, state: object | None) -> tuple[_State, _State]:
        first, second = self._states
        if state is None or state is first:
            return first, second
        if state is second:
            return second, first
        raise KernelError("the state belongs to another session; start the video again with state=None")
