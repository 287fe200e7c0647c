"""A built engine at work: one frame size, all tensors in device memory that others own."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from malle_rt.contract import TOLD
from malle_rt.cuda.launches import Storage
from malle_rt.errors import (
    BackendError,
    BackendUnavailable,
    EngineMismatch,
    KernelError,
    MalleError,
    OutOfDeviceMemory,
)
from malle_rt.trt.flavour import Flavour
from malle_rt.trt.plugin import plugin_library
from malle_rt.trt.private import write_whole
from malle_rt.trt.slicing import Slicer

__all__ = ["TensorRTNetwork"]

log = logging.getLogger(__name__)

_FULL_SIZE = ("y", "y_before", "noisy")
_HALF_SIZE = ("uv", "uv_before", "hidden_before")
# CUDA's words for a machine that cannot run anything: no driver, too old a driver, no device.
_NO_GPU = ("cudaError 35", "cudaError 100", "CUDA initialization failure", "no CUDA-capable device")


class TensorRTNetwork:
    """An engine, ready for one frame size; a ``DeviceNetwork`` of ``malle_rt.backends.gpu``.

    The device's primary context must be current on the thread that makes it and on those that use it.

    Args:
        flavour: that built the engine.
        engine: its bytes, from the private cache or vouched for by the user: an engine is executable code.
        rows, columns: of the padded luma, or of the picture.
        slicer: starts our kernel for this engine's plugins, and must live as long as the network.
        kernels_file: where TensorRT-RTX keeps what it compiles for this GPU, private as the engine; None: nowhere.

    Attributes:
        storage: element type of every tensor.
        hidden: channels of the hidden state; 0 in networks for photographs, whose tensors are "noisy" and "clean".
        told: what the engine is told of the noise, one of ``malle_rt.contract.TOLD``.

    Raises:
        EngineMismatch: the engine does not fit this machine or version.
        BackendUnavailable: no GPU or driver that this TensorRT can use.
        OutOfDeviceMemory: no memory for the engine's own tensors.
        BackendError: a frame size outside the engine's profile, or another refusal.
    """

    def __init__(
        self,
        flavour: Flavour,
        engine: bytes,
        rows: int,
        columns: int,
        slicer: Slicer,
        *,
        kernels_file: Path | None = None,
    ) -> None:
        self._flavour = flavour
        self._library = plugin_library(flavour)
        self._compiled: Any = None
        self._kernels_file = kernels_file
        flavour.messages.forget()
        self._runtime = flavour.module.Runtime(flavour.messages.logger)
        with self._library.serving(slicer):
            self._engine = _deserialized(flavour, self._runtime, engine)
        self._names = names = {self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)}
        self.storage: Storage = _storage(flavour.module, self._engine, next(iter(names & {*_FULL_SIZE})))
        self.told = next((name for name in TOLD if name in names), "sigma")
        recurrent = "hidden_before" in names  # what is for photographs has no state
        self.hidden = int(self._engine.get_tensor_shape("hidden_before")[1]) if recurrent else 0
        self._context = self._new_context()
        self._set_sizes(rows, columns)

    def enqueue(self, tensors: Mapping[str, int], stream: int) -> None:
        """Put one frame's work into a stream.

        TensorRT settles its memory, and TensorRT-RTX compiles, in the first call: make it before one that is captured.

        Args:
            tensors: device address, a multiple of 256, of each of the graph's inputs and outputs.
            stream: handle of a CUDA stream, not the default one.

        Raises:
            KernelError: TensorRT or our kernel refuses.
        """
        self._flavour.messages.forget()
        self._library.forget()
        for name, address in tensors.items():
            if not self._context.set_tensor_address(name, address):
                raise KernelError(f"{self._title}: no place for {name}: {self._reason()}")
        if not self._context.execute_async_v3(stream):
            raise KernelError(f"{self._title}: the engine did not run: {self._reason()}")

    def close(self) -> None:
        """Release the engine's memory on the device. May be called twice."""
        if self._context is None:
            return
        self._keep_compiled()
        # In this order: TensorRT does not keep the engine alive for its contexts.
        self._context = None
        self._engine = None
        self._runtime = None

    @property
    def _title(self) -> str:
        return self._flavour.title

    def _reason(self) -> str:
        """Our plugin's own exception tells more than what TensorRT makes of it."""
        return str(self._library.failure or self._flavour.messages.last_error())

    def _new_context(self) -> Any:
        if self._flavour.is_rtx:
            context = self._engine.create_execution_context(self._rtx_config())
        else:
            context = self._engine.create_execution_context()
        if context is not None:
            return context
        reason = self._reason()
        kind: type[MalleError] = OutOfDeviceMemory if "memory" in reason.lower() else BackendError
        raise kind(f"{self._title} cannot prepare the engine: {reason}")

    def _rtx_config(self) -> Any:
        """TensorRT-RTX compiles kernels for the frame size when they are first used."""
        config = self._engine.create_runtime_config()
        # Lazily, in the background, is its default: a captured graph would keep the slow stand-ins for ever.
        strategy = self._flavour.module.DynamicShapesKernelSpecializationStrategy
        config.dynamic_shapes_kernel_specialization_strategy = strategy.EAGER
        self._compiled = config.create_runtime_cache()
        if self._kernels_file is not None and self._kernels_file.is_file():
            # It looks by itself whether they are of this GPU, driver and version.
            taken = self._compiled.deserialize(self._kernels_file.read_bytes())
            log.debug(
                "kernels compiled before are %s", "used" if taken else "of another GPU, driver or version"
            )
        config.set_runtime_cache(self._compiled)
        return config

    def _keep_compiled(self) -> None:
        if self._compiled is None or self._kernels_file is None:
            return
        try:
            write_whole(self._kernels_file, bytes(self._compiled.serialize()))
        except OSError as exc:
            log.warning("compiled kernels are not kept, the next start is slower: %s", exc)

    def _set_sizes(self, rows: int, columns: int) -> None:
        planes = dict.fromkeys(_FULL_SIZE, (rows, columns))
        planes |= dict.fromkeys(_HALF_SIZE, (rows // 2, columns // 2))
        for name, plane in planes.items():
            if name not in self._names:
                continue
            shape = (*tuple(self._engine.get_tensor_shape(name))[:2], *plane)
            if not self._context.set_input_shape(name, shape):
                raise BackendError(f"the engine does not take {columns}x{rows} frames: {self._reason()}")


def _deserialized(flavour: Flavour, runtime: Any, engine: bytes) -> Any:
    found = runtime.deserialize_cuda_engine(engine)
    if found is not None:
        return found
    reason = flavour.messages.last_error()
    if any(words in reason for words in _NO_GPU):
        raise BackendUnavailable(f"{flavour.title} finds no NVIDIA GPU with a driver it can use: {reason}")
    raise EngineMismatch(f"{flavour.title} does not take the engine: {reason}")


def _storage(trt: Any, engine: Any, tensor: str) -> Storage:
    found = engine.get_tensor_dtype(tensor)
    storages: dict[Any, Storage] = {trt.float16: "f16", trt.float32: "f32"}
    if found not in storages:
        raise EngineMismatch(f"the engine's tensors are {found}, and ours are float16 or float32")
    return storages[found]
