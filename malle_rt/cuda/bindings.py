"""The driver through NVIDIA's own bindings: ``cuda-bindings`` 12 and 13."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, cast

import numpy.typing as npt

from malle_rt.cuda import driver as seam
from malle_rt.cuda.hostmemory import (
    nbytes_of,
    pack_arguments,
    require_contiguous,
    require_stream,
    view_memory,
)
from malle_rt.cuda.images import image_failure
from malle_rt.cuda.libcuda import failure, require_device
from malle_rt.cuda.owned import Kind, Ledger, Owned
from malle_rt.cuda.waiting import wait_until
from malle_rt.errors import BackendUnavailable, KernelError

__all__ = ["BindingsDriver"]

_STREAM_NON_BLOCKING = 1
_EVENT_BLOCKING_SYNC, _EVENT_DISABLE_TIMING = 1, 2
_HOST_PORTABLE = 1
_NOT_READY = 600
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76


class BindingsDriver:
    """The driver on one device; keeps the contract of ``malle_rt.cuda.driver.Driver``.

    Args:
        device: the driver's number of the GPU.

    Raises:
        BackendUnavailable: no cuda-bindings, no driver, or no such GPU.
    """

    name = "cuda-bindings"
    no_graphs = ""

    def __init__(self, device: int = 0) -> None:
        self._cu = _require_bindings()
        require_device(device)
        self._ledger = Ledger()
        _call(self._cu.cuInit, 0)
        self._ordinal = _call(self._cu.cuDeviceGet, device)
        self._context = _call(self._cu.cuDevicePrimaryCtxRetain, self._ordinal)
        Owned(self._ledger, Kind.CONTEXT, self._release_context)
        self._closed = False
        try:
            self.make_current()
            self.device = self._describe(device)
        except BaseException:
            self.close()
            raise

    def make_current(self) -> None:
        """Make the context current on the calling thread."""
        if self._closed:
            raise KernelError("this CUDA driver was closed")
        _call(self._cu.cuCtxSetCurrent, self._context)

    def stream(self) -> _Stream:
        """A new stream, which does not wait for the default one."""
        return _Stream(self._cu, self._ledger)

    def event(self, *, timing: bool = False) -> _Event:
        """A new event."""
        return _Event(self._cu, self._ledger, timing)

    def pinned(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> _PinnedArray:
        """Page-locked memory, uninitialised."""
        return _PinnedArray(self._cu, self._ledger, shape, dtype)

    def allocate(self, nbytes: int) -> _DeviceBuffer:
        """Device memory, uninitialised."""
        return _DeviceBuffer(self._cu, self._ledger, nbytes)

    def upload(self, target: int, source: seam.Host, stream: seam.Stream) -> None:
        """Start copying a host array to a device address."""
        require_contiguous(source)
        _call(self._cu.cuMemcpyHtoDAsync, target, source.ctypes.data, source.nbytes, stream.handle)

    def download(self, target: seam.Host, source: int, stream: seam.Stream) -> None:
        """Start copying from a device address into a host array."""
        require_contiguous(target, writeable=True)
        _call(self._cu.cuMemcpyDtoHAsync, target.ctypes.data, source, target.nbytes, stream.handle)

    def copy(self, target: int, source: int, nbytes: int, stream: seam.Stream) -> None:
        """Start copying within the device."""
        _call(self._cu.cuMemcpyDtoDAsync, target, source, nbytes, stream.handle)

    def clear(self, target: int, nbytes: int, stream: seam.Stream) -> None:
        """Start filling device memory with zero bytes."""
        _call(self._cu.cuMemsetD8Async, target, 0, nbytes, stream.handle)

    def load(self, image: bytes) -> Callable[[str], _Function]:
        """Load a cubin or PTX; returns a look-up of its kernels by name."""
        text = ctypes.create_string_buffer(image)  # ends PTX with the zero that the driver looks for
        code, module = self._cu.cuModuleLoadData(ctypes.addressof(text))
        if code != 0:
            raise image_failure("cuModuleLoadData", int(code), self.device)
        Owned(self._ledger, Kind.MODULE, lambda: _call(self._cu.cuModuleUnload, module))

        def look_up(name: str) -> _Function:
            code, handle = self._cu.cuModuleGetFunction(module, name.encode())
            if code != 0:
                raise failure(f"cuModuleGetFunction {name}", int(code))
            return _Function(name, int(handle))

        return look_up

    def launch(
        self,
        function: seam.Function,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        arguments: Sequence[Any],
        stream: int,
    ) -> None:
        """Start a kernel; allocates nothing, waits for nothing."""
        require_stream(stream, function.name)
        pointers = pack_arguments(arguments)
        (code,) = self._cu.cuLaunchKernel(
            cast(_Function, function).handle, *grid, *block, 0, stream, ctypes.addressof(pointers), 0
        )
        if code != 0:
            raise failure(f"cuLaunchKernel {function.name}", int(code))

    def capture(self, stream: seam.Stream, body: Callable[[], None]) -> _Graph:
        """Run ``body``, which puts work into ``stream``, without executing it; returns that work."""
        # Of this thread alone: the threads beside it go on allocating and waiting meanwhile.
        mode = self._cu.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        _call(self._cu.cuStreamBeginCapture, stream.handle, mode)
        try:
            body()
        except BaseException:
            self._abandon_capture(stream)
            raise
        graph = _call(self._cu.cuStreamEndCapture, stream.handle)
        try:
            return _Graph(self._cu, self._ledger, graph)
        finally:
            _call(self._cu.cuGraphDestroy, graph)

    def free_memory(self) -> int:
        """Bytes of device memory that are free now."""
        free, _total = _call(self._cu.cuMemGetInfo)
        return int(free)

    def close(self) -> None:
        """Give back everything that was made here, then the context. May be called twice, on any thread."""
        if self._closed:
            return
        self._closed = True
        self._cu.cuCtxSetCurrent(self._context)  # where it fails, so does all that follows, which is logged
        self._ledger.close()

    def _release_context(self) -> None:
        self._cu.cuCtxSetCurrent(0)
        _call(self._cu.cuDevicePrimaryCtxRelease, self._ordinal)

    def _describe(self, index: int) -> seam.DeviceInfo:
        attribute = self._cu.CUdevice_attribute
        name = _call(self._cu.cuDeviceGetName, 256, self._ordinal)
        major, minor = (
            _call(self._cu.cuDeviceGetAttribute, attribute(number), self._ordinal)
            for number in (_CAPABILITY_MAJOR, _CAPABILITY_MINOR)
        )
        return seam.DeviceInfo(
            index=index,
            name=name.partition(b"\0")[0].decode(),
            capability=(int(major), int(minor)),
            driver=int(_call(self._cu.cuDriverGetVersion)),
            memory=int(_call(self._cu.cuDeviceTotalMem, self._ordinal)),
        )

    def _abandon_capture(self, stream: seam.Stream) -> None:
        code, graph = self._cu.cuStreamEndCapture(stream.handle)
        if code == 0:
            _call(self._cu.cuGraphDestroy, graph)


class _Function:
    """A kernel of a loaded module."""

    __slots__ = ("handle", "name")

    def __init__(self, name: str, handle: int) -> None:
        self.name = name
        self.handle = handle


class _Stream(Owned):
    """A CUDA stream."""

    def __init__(self, cu: ModuleType, ledger: Ledger) -> None:
        self._cu = cu
        self.handle = int(_call(cu.cuStreamCreate, _STREAM_NON_BLOCKING))
        super().__init__(ledger, Kind.STREAM, lambda: _call(cu.cuStreamDestroy, self.handle))

    def wait_for(self, event: seam.Event) -> None:
        """Work put in from now on starts after what ``event`` has recorded."""
        _call(self._cu.cuStreamWaitEvent, self.handle, cast(_Event, event).handle, 0)

    def settle(self) -> None:
        """Wait until nothing in it runs."""
        self.synchronize()

    def synchronize(self, *, seconds: float = 10.0) -> None:
        """Wait until everything put in is done."""
        wait_until(lambda: _ready(self._cu.cuStreamQuery, self.handle), "a CUDA stream", seconds)


class _Event(Owned):
    """A mark in a stream."""

    def __init__(self, cu: ModuleType, ledger: Ledger, timing: bool) -> None:
        self._cu = cu
        flags = _EVENT_BLOCKING_SYNC | (0 if timing else _EVENT_DISABLE_TIMING)
        self.handle = int(_call(cu.cuEventCreate, flags))
        super().__init__(ledger, Kind.EVENT, lambda: _call(cu.cuEventDestroy, self.handle))

    def record(self, stream: seam.Stream) -> None:
        """Put the mark behind everything that is in the stream now."""
        _call(self._cu.cuEventRecord, self.handle, stream.handle)

    def done(self) -> bool:
        """Whether the mark was passed."""
        return _ready(self._cu.cuEventQuery, self.handle)

    def wait(self, *, seconds: float = 10.0) -> None:
        """Wait on the host, without a busy loop."""
        wait_until(self.done, "a CUDA event", seconds)

    def milliseconds_since(self, earlier: seam.Event) -> float:
        """Time on the device between two passed marks."""
        return float(_call(self._cu.cuEventElapsedTime, cast(_Event, earlier).handle, self.handle))


class _PinnedArray(Owned):
    """Page-locked host memory."""

    def __init__(self, cu: ModuleType, ledger: Ledger, shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
        address = int(_call(cu.cuMemHostAlloc, nbytes_of(shape, dtype), _HOST_PORTABLE))
        self.array = view_memory(address, shape, dtype)
        super().__init__(ledger, Kind.PINNED, lambda: _call(cu.cuMemFreeHost, address))


class _DeviceBuffer(Owned):
    """Device memory."""

    def __init__(self, cu: ModuleType, ledger: Ledger, nbytes: int) -> None:
        self.nbytes = nbytes
        self.pointer = int(_call(cu.cuMemAlloc, nbytes))
        super().__init__(ledger, Kind.BUFFER, lambda: _call(cu.cuMemFree, self.pointer))


class _Graph(Owned):
    """Captured work, ready to be launched."""

    def __init__(self, cu: ModuleType, ledger: Ledger, graph: Any) -> None:
        self._cu = cu
        self._executable = _call(cu.cuGraphInstantiate, graph, 0)
        super().__init__(ledger, Kind.GRAPH, lambda: _call(cu.cuGraphExecDestroy, self._executable))

    def launch(self, stream: seam.Stream) -> None:
        """Put all of it into a stream."""
        _call(self._cu.cuGraphLaunch, self._executable, stream.handle)


def _call(function: Callable[..., tuple[Any, ...]], *arguments: Any) -> Any:
    """What a function of the bindings returns after its error code: nothing, a value, or several."""
    code, *values = function(*arguments)
    if code != 0:
        raise failure(function.__name__, int(code))
    if len(values) == 1:
        return values[0]
    return tuple(values) or None


def _ready(query: Callable[[int], tuple[Any]], handle: int) -> bool:
    (code,) = query(handle)
    if code != 0 and code != _NOT_READY:
        raise failure(query.__name__, int(code))
    return bool(code == 0)


def _require_bindings() -> ModuleType:
    try:
        from cuda.bindings import driver
    except ImportError as exc:
        raise BackendUnavailable(
            f"CUDA adapter 'cuda-bindings' is not installed ({exc}): pip install 'malle-rt[cuda]'"
        ) from exc
    return cast(ModuleType, driver)
