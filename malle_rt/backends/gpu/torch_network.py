"""The network run by torch on the device, fed by addresses: what GPUs without TensorRT run, and their yardstick."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from malle_rt.backends.gpu.network import Capture
from malle_rt.contract import STATE, TOLD
from malle_rt.cuda.driver import Graph, Stream
from malle_rt.cuda.kernels import Kernels, SliceDims
from malle_rt.cuda.launches import Storage
from malle_rt.errors import KernelError, OutOfDeviceMemory
from malle_rt.net import rt, rt2
from malle_rt.ops.reference import slice_in_torch

__all__ = ["TorchNetwork", "capture", "sliced_by"]

log = logging.getLogger(__name__)

_DTYPES: dict[Storage, torch.dtype] = {"f16": torch.float16, "f32": torch.float32}
_TYPESTR: dict[Storage, str] = {"f16": "<f2", "f32": "<f4"}
_STORAGE: dict[torch.dtype, Storage] = {dtype: storage for storage, dtype in _DTYPES.items()}
# What slices on the GPU while a network of ours runs on this thread. Torch's registration lasts as long as the process
# and takes one function; backends come and go, and the torch backend, our yardstick, is to stay with the reference.
_kernels: ContextVar[Kernels | None] = ContextVar("malle_kernels", default=None)


class _Memory:
    """Device memory of somebody else, as torch takes it in (``__cuda_array_interface__``, version 3)."""

    def __init__(self, pointer: int, shape: tuple[int, ...], storage: Storage) -> None:
        self.__cuda_array_interface__ = {
            "shape": shape,
            "typestr": _TYPESTR[storage],
            "data": (pointer, False),
            "version": 3,
            "strides": None,
            "stream": None,
        }


class TorchNetwork:
    """A ``DeviceNetwork`` of one size, on a GPU that torch was built for.

    Args:
        net: on the device, in the storage's dtype, in eval mode.
        rows, columns: of the padded luma.
        storage: element type of every tensor.
        kernels: loaded on that GPU: they slice.
    """

    def __init__(
        self, net: rt.MalleNetRT | rt2.FoldedRT, rows: int, columns: int, storage: Storage, kernels: Kernels
    ) -> None:
        self.storage = storage
        config = net.net.config if isinstance(net, rt2.FoldedRT) else net.config
        self.hidden = config.hidden
        self.told = "noise" if isinstance(net, rt2.FoldedRT) else "sigma"
        self._net, self._kernels = net, kernels
        self._device = next(net.parameters()).device
        half = (rows // 2, columns // 2)
        picture, chroma = (1, 1, rows, columns), (1, 2, *half)
        hidden = (1, self.hidden, *half)
        self._shapes = {"y": picture, "uv": chroma, self.told: (1, TOLD[self.told], 1, 1)}
        self._shapes |= {"y_before": picture, "uv_before": chroma, "hidden_before": hidden}
        self._shapes |= {"y_clean": picture, "uv_clean": chroma, "hidden": hidden}
        self._known: dict[tuple[str, int], Tensor] = {}

    @torch.inference_mode()
    @torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False)
    def enqueue(self, tensors: Mapping[str, int], stream: int) -> None:
        """See ``DeviceNetwork``."""
        at = {name: self._tensor(name, pointer) for name, pointer in tensors.items()}
        before = tuple(at[name] for name in STATE)
        try:
            with (
                sliced_by(self._kernels),
                torch.cuda.stream(torch.cuda.ExternalStream(stream, self._device)),
            ):
                told = at[self.told]
                if isinstance(self._net, rt2.FoldedRT):
                    y, uv, hidden = self._net(at["y"], at["uv"], told, *before)
                else:
                    y, uv, hidden = self._net(at["y"], at["uv"], told, rt.RTState(*before))
                at["y_clean"].copy_(y)
                at["uv_clean"].copy_(uv)
                at["hidden"].copy_(hidden)
        except torch.cuda.OutOfMemoryError as exc:
            raise OutOfDeviceMemory(_first_line(exc)) from exc
        except RuntimeError as exc:
            raise KernelError(f"torch failed on the GPU: {_first_line(exc)}") from exc

    def close(self) -> None:
        """Forget the tensors and give torch's idle memory back: what is not torch's could not use it."""
        self._known.clear()
        try:
            torch.cuda.empty_cache()
        except RuntimeError as exc:  # after an error on the GPU, which somebody has told of
            log.warning("torch's memory on the GPU is not given back: %s", _first_line(exc))

    def _tensor(self, name: str, pointer: int) -> Tensor:
        """The memory at an address as a tensor; the few addresses of a session are made once."""
        if (name, pointer) not in self._known:
            memory = _Memory(pointer, self._shapes[name], self.storage)
            self._known[name, pointer] = torch.as_tensor(memory, device=self._device)
        return self._known[name, pointer]


class _TorchGraph:
    """torch's CUDA graph behind the seam's contract."""

    def __init__(self, graph: torch.cuda.CUDAGraph, device: torch.device) -> None:
        self._graph: torch.cuda.CUDAGraph | None = graph
        self._device = device

    def launch(self, stream: Stream) -> None:
        """See ``Graph``."""
        assert self._graph is not None
        with torch.cuda.stream(torch.cuda.ExternalStream(stream.handle, self._device)):
            self._graph.replay()

    def close(self) -> None:
        """See ``Graph``."""
        self._graph = None


def capture(device: torch.device) -> Capture:
    """A ``Capture`` by torch, which must know of it: what its allocator hands out then belongs to the graph.

    Our kernels go into the same stream and so into the same graph, whichever adapter launches them. The graphs of one
    stream share memory: they run one after the other, and nothing in it outlives a run.
    """
    pools: WeakKeyDictionary[Stream, Any] = WeakKeyDictionary()

    def captured(stream: Stream, body: Callable[[], None]) -> Graph:
        graph = torch.cuda.CUDAGraph()
        try:
            external = torch.cuda.ExternalStream(stream.handle, device)
            # Other threads may decode or encode on the GPU meanwhile: only this one must keep to what is allowed.
            pool = pools.setdefault(stream, torch.cuda.graph_pool_handle())
            with torch.cuda.graph(graph, pool=pool, stream=external, capture_error_mode="thread_local"):
                body()
        except RuntimeError as exc:
            raise KernelError(f"torch cannot capture a CUDA graph: {_first_line(exc)}") from exc
        return _TorchGraph(graph, device)

    return captured


@contextmanager
def sliced_by(kernels: Kernels) -> Iterator[None]:
    """Let ``malle_slice`` on CUDA tensors be one kernel, on this thread."""
    token = _kernels.set(kernels)
    try:
        yield
    finally:
        _kernels.reset(token)


def _slice(x: Tensor, grid: Tensor, kernel_size: int) -> Tensor:
    kernels, storage = _kernels.get(), _STORAGE.get(x.dtype)
    if kernels is None or storage is None:
        return slice_in_torch(x, grid, kernel_size)
    x, grid = x.contiguous(), grid.contiguous()
    y = torch.empty_like(x)
    kernels.slice(
        x.data_ptr(),
        grid.data_ptr(),
        y.data_ptr(),
        SliceDims.of(x.shape, grid.shape, kernel_size),
        storage,
        torch.cuda.current_stream(x.device).cuda_stream,
    )
    return y


torch.library.register_kernel("malle::slice", "cuda", _slice)  # malle_rt.ops.reference has made the operator


def _first_line(exc: BaseException) -> str:
    return (str(exc).splitlines() or [type(exc).__name__])[0]
