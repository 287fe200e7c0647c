"""The seam between malle-rt and the CUDA driver: everything it asks of the driver, and nothing else.

Two adapters keep this contract: ``bindings`` (NVIDIA's ``cuda-bindings``) and ``pycuda``. All memory, streams and
modules belong to the device's primary context, the one that torch and TensorRT use too. Streams are passed as the
driver's own integer handles, so those of other libraries can be used; 0 is never accepted for one, since work on
the default stream waits for every other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy.typing as npt

__all__ = [
    "DeviceBuffer",
    "DeviceInfo",
    "Driver",
    "Event",
    "Function",
    "Graph",
    "Host",
    "PinnedArray",
    "Stream",
]

Host = npt.NDArray[Any]


@dataclass(frozen=True)
class DeviceInfo:
    """A GPU.

    Attributes:
        index: the driver's number of the device.
        name: for example "NVIDIA GeForce RTX 4070".
        capability: compute capability, major and minor.
        driver: CUDA version that the driver supports, major * 1000 + minor * 10: 13000 is 13.0.
        memory: bytes of device memory in all.
    """

    index: int
    name: str
    capability: tuple[int, int]
    driver: int
    memory: int

    @property
    def sm(self) -> str:
        """Architecture as compilers name it: "sm_89"."""
        return f"sm_{self.capability[0]}{self.capability[1]}"


class Closing(Protocol):
    """Something that holds memory or a handle of the driver."""

    def close(self) -> None:
        """Give it back. May be called twice."""
        ...


class Stream(Closing, Protocol):
    """A CUDA stream that does not wait for the default one.

    Attributes:
        handle: the driver's CUstream as an integer.
    """

    handle: int

    def wait_for(self, event: Event) -> None:
        """Work put in from now on starts after what ``event`` has recorded."""
        ...

    def synchronize(self, *, seconds: float = 10.0) -> None:
        """Wait until everything put in is done. Raises ``KernelError`` when it failed or takes longer."""
        ...


class Event(Closing, Protocol):
    """A mark in a stream."""

    def record(self, stream: Stream) -> None:
        """Put the mark behind everything that is in the stream now."""
        ...

    def done(self) -> bool:
        """Whether the mark was passed; true of an event that was never recorded. Raises ``KernelError``."""
        ...

    def wait(self, *, seconds: float = 10.0) -> None:
        """Wait on the host, without a busy loop. Raises ``KernelError`` when work failed or takes longer."""
        ...

    def milliseconds_since(self, earlier: Event) -> float:
        """Time on the device between two passed marks of events made with ``timing=True``."""
        ...


class PinnedArray(Closing, Protocol):
    """Page-locked host memory; copies from and to it run beside the program.

    Attributes:
        array: the memory as a numpy array; dead after ``close``.
    """

    array: Host


class DeviceBuffer(Closing, Protocol):
    """Device memory.

    Attributes:
        pointer: address on the device.
        nbytes: size.
    """

    pointer: int
    nbytes: int


class Function(Protocol):
    """A kernel of a loaded module."""

    name: str


class Graph(Closing, Protocol):
    """Work that was captured once and is started as a whole."""

    def launch(self, stream: Stream) -> None:
        """Put all of it into a stream."""
        ...


class Driver(Closing, Protocol):
    """The CUDA driver on one device.

    Every method raises ``KernelError`` with CUDA's own name of the error, ``OutOfDeviceMemory`` where memory is
    what is missing, ``BackendUnavailable`` where this machine cannot do it at all.

    Attributes:
        name: of the adapter: "cuda-bindings" or "pycuda".
        device: the GPU.
        no_graphs: "" where ``capture`` works, else the reason why it does not, for people.
    """

    name: str
    device: DeviceInfo
    no_graphs: str

    def make_current(self) -> None:
        """Make the context current on the calling thread; every thread that uses the driver calls it first."""
        ...

    def stream(self) -> Stream:
        """A new stream."""
        ...

    def event(self, *, timing: bool = False) -> Event:
        """A new event; one with ``timing`` costs a little more."""
        ...

    def pinned(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> PinnedArray:
        """Page-locked memory, uninitialised."""
        ...

    def allocate(self, nbytes: int) -> DeviceBuffer:
        """Device memory, uninitialised, aligned to 256 bytes."""
        ...

    def upload(self, target: int, source: Host, stream: Stream) -> None:
        """Start copying a C-contiguous host array to a device address."""
        ...

    def download(self, target: Host, source: int, stream: Stream) -> None:
        """Start copying from a device address into a C-contiguous host array."""
        ...

    def copy(self, target: int, source: int, nbytes: int, stream: Stream) -> None:
        """Start copying within the device."""
        ...

    def clear(self, target: int, nbytes: int, stream: Stream) -> None:
        """Start filling device memory with zero bytes."""
        ...

    def load(self, image: bytes) -> Callable[[str], Function]:
        """Load a cubin or PTX; returns a look-up of its kernels by name. It stays loaded until ``close``."""
        ...

    def launch(
        self,
        function: Function,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        arguments: Sequence[Any],
        stream: int,
    ) -> None:
        """Start a kernel; allocates nothing, waits for nothing, and may be called while a stream is captured.

        Args:
            function: of a module that this driver loaded.
            grid: blocks.
            block: threads of a block.
            arguments: ``ctypes`` scalars in the order and of the types of the kernel's parameters.
            stream: handle of a stream, ours or another library's.
        """
        ...

    def capture(self, stream: Stream, body: Callable[[], None]) -> Graph:
        """Run ``body``, which puts work into ``stream``, without executing it; returns that work.

        Raises ``BackendUnavailable`` where ``no_graphs`` says why.
        """
        ...

    def free_memory(self) -> int:
        """Bytes of device memory that are free now."""
        ...
