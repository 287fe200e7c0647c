"""The driver through PyCUDA (2022 and newer), which has no graphs.

Three things of PyCUDA shape this file. Its objects can be made and given back only while *its own* stack of contexts
has ours on top, and a thread that ends with something on that stack takes the process with it: so the stack is used
for moments only, and ``make_current`` asks the driver itself. It does not accept the streams of other libraries, and
hides the handles of modules: so kernels are loaded and launched through ``ctypes``.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any, NoReturn, cast

import numpy.typing as npt

from malle_rt.cuda import driver as seam
from malle_rt.cuda.hostmemory import pack_arguments, require_contiguous, require_stream
from malle_rt.cuda.images import image_failure
from malle_rt.cuda.libcuda import code_of, failure, load_library, require_device
from malle_rt.cuda.owned import Kind, Ledger, Owned
from malle_rt.cuda.waiting import wait_until
from malle_rt.errors import BackendUnavailable, KernelError

__all__ = ["PyCudaDriver"]

_STREAM_NON_BLOCKING = 1
_NO_GRAPHS = "PyCUDA has no CUDA graphs: use cuda-bindings"


class PyCudaDriver:
    """The driver on one device; keeps the contract of ``malle_rt.cuda.driver.Driver``.

    Args:
        device: the driver's number of the GPU.

    Raises:
        BackendUnavailable: no PyCUDA, no driver, or no such GPU.
    """

    name = "pycuda"
    no_graphs = _NO_GRAPHS

    def __init__(self, device: int = 0) -> None:
        require_device(device)
        self._ledger = Ledger()
        self._pycuda = _require_pycuda()
        self._library = _Library()
        with _translated(self._pycuda):
            self._pycuda.init()
            gpu = self._pycuda.Device(device)
            self._contexts = _Contexts(self._pycuda, gpu.retain_primary_context())
        Owned(self._ledger, Kind.CONTEXT, self._release_context)
        self._closed = False
        try:
            self.make_current()
            self.device = self._describe(device, gpu)
        except BaseException:
            self.close()
            raise

    def make_current(self) -> None:
        """Make the context current on the calling thread."""
        if self._closed:
            raise KernelError("this CUDA driver was closed")
        self._library.call("cuCtxSetCurrent", self._contexts.handle)

    def stream(self) -> _Stream:
        """A new stream, which does not wait for the default one."""
        return _Stream(self._contexts, self._ledger)

    def event(self, *, timing: bool = False) -> _Event:
        """A new event."""
        return _Event(self._contexts, self._ledger, timing)

    def pinned(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> _PinnedArray:
        """Page-locked memory, uninitialised."""
        return _PinnedArray(self._contexts, self._ledger, shape, dtype)

    def allocate(self, nbytes: int) -> _DeviceBuffer:
        """Device memory, uninitialised."""
        return _DeviceBuffer(self._contexts, self._ledger, nbytes)

    def upload(self, target: int, source: seam.Host, stream: seam.Stream) -> None:
        """Start copying a host array to a device address."""
        require_contiguous(source)
        with _translated(self._pycuda):
            self._pycuda.memcpy_htod_async(target, source, _native(stream))

    def download(self, target: seam.Host, source: int, stream: seam.Stream) -> None:
        """Start copying from a device address into a host array."""
        require_contiguous(target, writeable=True)
        with _translated(self._pycuda):
            self._pycuda.memcpy_dtoh_async(target, source, _native(stream))

    def copy(self, target: int, source: int, nbytes: int, stream: seam.Stream) -> None:
        """Start copying within the device."""
        with _translated(self._pycuda):
            self._pycuda.memcpy_dtod_async(target, source, nbytes, _native(stream))

    def clear(self, target: int, nbytes: int, stream: seam.Stream) -> None:
        """Start filling device memory with zero bytes."""
        with _translated(self._pycuda):
            self._pycuda.memset_d8_async(target, 0, nbytes, _native(stream))

    def load(self, image: bytes) -> Callable[[str], _Function]:
        """Load a cubin or PTX; returns a look-up of its kernels by name."""
        module = ctypes.c_void_p()
        text = ctypes.create_string_buffer(image)  # ends PTX with the zero that the driver looks for
        code = self._library.raw.cuModuleLoadData(ctypes.byref(module), text)
        if code:
            raise image_failure("cuModuleLoadData", code, self.device)
        Owned(self._ledger, Kind.MODULE, lambda: self._library.call("cuModuleUnload", module))

        def look_up(name: str) -> _Function:
            handle = ctypes.c_void_p()
            code = self._library.raw.cuModuleGetFunction(ctypes.byref(handle), module, name.encode())
            if code:
                raise failure(f"cuModuleGetFunction {name}", code)
            return _Function(name, cast(int, handle.value))

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
        code = self._library.launch(
            cast(_Function, function).handle, *grid, *block, 0, stream, pack_arguments(arguments), None
        )
        if code:
            raise failure(f"cuLaunchKernel {function.name}", code)

    def capture(self, stream: seam.Stream, body: Callable[[], None]) -> NoReturn:
        """Raise ``BackendUnavailable``: there is no capture."""
        raise BackendUnavailable(self.no_graphs)

    def free_memory(self) -> int:
        """Bytes of device memory that are free now."""
        with _translated(self._pycuda):
            free, _total = self._pycuda.mem_get_info()
        return int(free)

    def close(self) -> None:
        """Give back everything that was made here, then the context. May be called twice, on any thread."""
        if self._closed:
            return
        self._closed = True
        # Where this fails, so does all that follows, which is logged.
        self._library.raw.cuCtxSetCurrent(ctypes.c_void_p(self._contexts.handle))
        self._ledger.close()

    def _release_context(self) -> None:
        self._contexts.detach()
        # Twice: what PyCUDA pushed to detach, and what ``close`` has set.
        self._library.raw.cuCtxPopCurrent_v2(None)
        self._library.raw.cuCtxSetCurrent(None)

    def _describe(self, index: int, gpu: Any) -> seam.DeviceInfo:
        with _translated(self._pycuda):
            return seam.DeviceInfo(
                index=index,
                name=gpu.name(),
                capability=gpu.compute_capability(),
                driver=self._pycuda.get_driver_version(),
                memory=int(gpu.total_memory()),
            )


class _Library:
    """The driver's own functions, for what PyCUDA does not offer."""

    def __init__(self) -> None:
        self.raw = load_library()
        # A copy of the function: argument types set on the shared one would bind everybody who uses it.
        number, pointer = ctypes.c_uint, ctypes.c_void_p
        prototype = ctypes.CFUNCTYPE(ctypes.c_int, pointer, *[number] * 7, pointer, pointer, pointer)
        self.launch = prototype(("cuLaunchKernel", self.raw))

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function that takes pointers and returns an error code."""
        code = self.raw[name](
            *(ctypes.c_void_p(value) if isinstance(value, int) else value for value in arguments)
        )
        if code:
            raise failure(name.removesuffix("_v2"), code)


class _Contexts:
    """Our context, as PyCUDA sees it."""

    def __init__(self, pycuda: ModuleType, context: Any) -> None:
        self.pycuda = pycuda
        self._context = context
        self.handle: int = context.handle

    @contextmanager
    def entered(self) -> Iterator[ModuleType]:
        """For making and giving back PyCUDA's objects, on any thread."""
        with _translated(self.pycuda):
            self._context.push()
            try:
                yield self.pycuda
            finally:
                self._context.pop()

    def detach(self) -> None:
        """Give the context back; the driver's stack of this thread has it on top afterwards."""
        with _translated(self.pycuda):
            self._context.push()
            self._context.detach()


class _Function:
    """A kernel of a loaded module."""

    __slots__ = ("handle", "name")

    def __init__(self, name: str, handle: int) -> None:
        self.name = name
        self.handle = handle


class _Held(Owned):
    """Something that PyCUDA gives back when its object is dropped, which must happen in the context."""

    def __init__(self, contexts: _Contexts, ledger: Ledger, kind: Kind, native: Any) -> None:
        self.contexts = contexts
        self.native = native
        super().__init__(ledger, kind, self._drop)

    def _drop(self) -> None:
        with self.contexts.entered():
            self.native = None


class _Stream(_Held):
    """A CUDA stream."""

    def __init__(self, contexts: _Contexts, ledger: Ledger) -> None:
        with contexts.entered() as pycuda:
            native = pycuda.Stream(_STREAM_NON_BLOCKING)
        self.handle: int = native.handle
        super().__init__(contexts, ledger, Kind.STREAM, native)

    def wait_for(self, event: seam.Event) -> None:
        """Work put in from now on starts after what ``event`` has recorded."""
        with _translated(self.contexts.pycuda):
            self.native.wait_for_event(cast(_Event, event).native)

    def settle(self) -> None:
        """Wait until nothing in it runs."""
        self.synchronize()

    def synchronize(self, *, seconds: float = 10.0) -> None:
        """Wait until everything put in is done."""
        with _translated(self.contexts.pycuda):
            wait_until(self.native.is_done, "a CUDA stream", seconds)


class _Event(_Held):
    """A mark in a stream."""

    def __init__(self, contexts: _Contexts, ledger: Ledger, timing: bool) -> None:
        flags = contexts.pycuda.event_flags
        with contexts.entered() as pycuda:
            native = pycuda.Event(flags.BLOCKING_SYNC | (0 if timing else flags.DISABLE_TIMING))
        super().__init__(contexts, ledger, Kind.EVENT, native)

    def record(self, stream: seam.Stream) -> None:
        """Put the mark behind everything that is in the stream now."""
        with _translated(self.contexts.pycuda):
            self.native.record(_native(stream))

    def done(self) -> bool:
        """Whether the mark was passed."""
        with _translated(self.contexts.pycuda):
            return bool(self.native.query())

    def wait(self, *, seconds: float = 10.0) -> None:
        """Wait on the host, without a busy loop."""
        wait_until(self.done, "a CUDA event", seconds)

    def milliseconds_since(self, earlier: seam.Event) -> float:
        """Time on the device between two passed marks."""
        with _translated(self.contexts.pycuda):
            return float(self.native.time_since(cast(_Event, earlier).native))


class _PinnedArray(Owned):
    """Page-locked host memory."""

    def __init__(
        self, contexts: _Contexts, ledger: Ledger, shape: tuple[int, ...], dtype: npt.DTypeLike
    ) -> None:
        with contexts.entered() as pycuda:
            self.array = pycuda.pagelocked_empty(shape, dtype, mem_flags=pycuda.host_alloc_flags.PORTABLE)
        self._contexts = contexts
        self._memory = self.array.base
        super().__init__(ledger, Kind.PINNED, self._free)

    def _free(self) -> None:
        with self._contexts.entered():
            self._memory.free()


class _DeviceBuffer(_Held):
    """Device memory."""

    def __init__(self, contexts: _Contexts, ledger: Ledger, nbytes: int) -> None:
        self.nbytes = nbytes
        with contexts.entered() as pycuda:
            native = pycuda.mem_alloc(nbytes)
        self.pointer = int(native)
        super().__init__(contexts, ledger, Kind.BUFFER, native)


def _native(stream: seam.Stream) -> Any:
    return cast(_Stream, stream).native


@contextmanager
def _translated(pycuda: ModuleType) -> Iterator[None]:
    """Turn PyCUDA's errors, "cuMemAlloc failed: out of memory", into ours, with CUDA's name."""
    try:
        yield
    except pycuda.Error as exc:
        call, _, text = str(exc).partition(" failed: ")
        code = code_of(text)
        raise (failure(call, code) if code else KernelError(str(exc))) from exc


def _require_pycuda() -> ModuleType:
    try:
        import pycuda.driver
    except ImportError as exc:
        raise BackendUnavailable(
            f"CUDA adapter 'pycuda' does not load ({exc}): pip install 'malle-rt[pycuda]' (it is compiled then, "
            "with nvcc's headers), or use cuda-bindings"
        ) from exc
    return cast(ModuleType, pycuda.driver)
