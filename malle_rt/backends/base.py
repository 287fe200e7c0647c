"""The contract every backend keeps: planes and state in, planes and state out."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from malle_rt.contract import Noise
from malle_rt.frame import Plane, Surface

__all__ = [
    "Backend",
    "BackendInfo",
    "BlockingSession",
    "FrameShape",
    "Planes420",
    "Session",
    "SurfaceSession",
    "pad_edge",
    "usable_cpus",
]

Planes420 = tuple[Plane, Plane, Plane]
_PAGE = 4096  # bytes


@dataclass(frozen=True)
class FrameShape:
    """What a session is made for.

    Attributes:
        width, height: of the luma plane, any size from 1 x 1; chroma planes are half of it, rounded up.
        bits: significant bits of a sample: 8 in uint8, 9 to 16 in uint16.
        pitches: bytes from row to row of Y and of UV, where frames come as a ``Surface``; None for Y, U, V in host
            memory. Only a ``SurfaceSession`` looks at it.
        stays: whether results are left on the GPU as a ``Surface``, too.
    """

    width: int
    height: int
    bits: int = 8
    pitches: tuple[int, int] | None = None
    stays: bool = False

    @property
    def largest(self) -> int:
        """Largest code value; planes are divided by it on their way into the network."""
        return (1 << self.bits) - 1

    def padded(self, multiple: int) -> tuple[int, int]:
        """Rows and columns of the luma after padding to what the network takes.

        One step wider where the network's float planes at half size would lie whole pages apart: then the same
        pixel of all of them falls on one line of the cache, and 1280x720 takes half as long again.
        """
        rows, columns = (-(-side // multiple) * multiple for side in (self.height, self.width))
        if rows * columns % _PAGE == 0:  # 4 bytes, a quarter of the pixels
            columns += multiple
        return rows, columns


@dataclass(frozen=True)
class BackendInfo:
    """What is running, for people and for benchmarks.

    Attributes:
        name: "openvino", "torch" ...
        model: name of the network.
        precision: "fp32", "fp16", "int8".
        device: for example "CPU (2 threads)".
        weights: first digits of the checksum of the file that is running.
        notes: what a user should know, a few words each, such as a slower path that is in use.
        gpu: number of the NVIDIA GPU whose memory frames may come from and stay in; None: only host memory.
        told: what the network is told of the noise, one of ``malle_rt.contract.TOLD``.
    """

    name: str
    model: str
    precision: str
    device: str
    weights: str
    notes: tuple[str, ...] = ()
    gpu: int | None = None
    told: str = "sigma"

    def __str__(self) -> str:
        return f"{self.name} {self.model} {self.precision} on {self.device}"


class Session(Protocol):
    """A network made ready for one size and bit depth.

    Attributes:
        ahead: frames that may be started, to keep the device busy, before the result of the first is asked for.
    """

    ahead: int

    def start(
        self, planes: Planes420, noise: Noise, state: object | None
    ) -> tuple[Callable[[], Planes420], object]:
        """Begin one frame; as ``run``, but gives a function that waits for the new planes.

        The planes given may be reused as soon as this returns; the state given back may be used at once.
        """
        ...

    def run(self, planes: Planes420, noise: Noise, state: object | None) -> tuple[Planes420, object]:
        """Denoise one frame.

        Args:
            planes: Y, U, V of 4:2:0, sizes and dtype as the session's shape says. Not changed.
            noise: of the video.
            state: what the previous call returned, which is used up by this call; None at the start of a video.

        Returns:
            New planes of the same sizes and dtype, owned by the caller, and the state for the next frame.
        """
        ...

    def close(self) -> None:
        """Release what this size holds; results of started frames can still be asked for. May be called twice."""
        ...


@runtime_checkable
class SurfaceSession(Session, Protocol):
    """A session on a GPU that can take frames from its memory, when its shape has pitches."""

    def start_surface(
        self, surface: Surface, noise: Noise, state: object | None
    ) -> tuple[Callable[[], Planes420 | Surface], object]:
        """Begin one frame; as ``start``.

        The surface is kept until it has been read. The result is a ``Surface`` where the shape says so.

        Raises:
            ConfigError: it is not on this GPU, or not of the session's size and depth.
        """
        ...

    def block_sums(self, surface: Surface, step: int) -> npt.NDArray[np.uint32]:
        """Sums of the luma's code values in blocks of 16 x 16, (rows of blocks, columns); waits for them.

        Args:
            surface: as for ``start_surface``.
            step: of so many rows of blocks, the first.
        """
        ...

    def parts(self, surface: Surface, parts: Sequence[tuple[slice, slice]]) -> tuple[Plane, Plane]:
        """Parts of the picture, (parts, rows, columns) of the luma and (2, parts, rows / 2, columns / 2); waits.

        Args:
            surface: as for ``start_surface``.
            parts: rows and columns of the luma, one part or four: see ``malle_rt.cuda.looks.parts_launch``.
        """
        ...


class BlockingSession(ABC):
    """The rest of a ``Session`` for runtimes whose work is done when ``run`` returns.

    Attributes:
        network_span: readings of ``time.perf_counter`` before and after the runtime's part of the last ``run``; what
            lies outside is packing and unpacking. None where it cannot be told, or before the first.
    """

    ahead = 0
    network_span: tuple[float, float] | None = None

    @abstractmethod
    def run(self, planes: Planes420, noise: Noise, state: object | None) -> tuple[Planes420, object]:
        """See ``Session``."""

    def start(
        self, planes: Planes420, noise: Noise, state: object | None
    ) -> tuple[Callable[[], Planes420], object]:
        """See ``Session``."""
        clean, after = self.run(planes, noise, state)
        return lambda: clean, after

    def close(self) -> None:  # noqa: B027  # most of them hold nothing but memory
        """Nothing is held."""


class Backend(Protocol):
    """One way to run one network."""

    @property
    def info(self) -> BackendInfo:
        """What is running."""
        ...

    def prepare(self, shape: FrameShape) -> Session:
        """Compile for a size; may take a second. Raises ``BackendError`` when it cannot."""
        ...

    def close(self) -> None:
        """Release the runtime. May be called twice."""
        ...


def pad_edge(plane: Plane, out: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> None:
    """Copy ``plane`` into the larger ``out`` (rows, columns) and repeat its last row and column outward."""
    rows, columns = plane.shape
    out[:rows, :columns] = plane
    out[:rows, columns:] = plane[:, -1:]
    out[rows:] = out[rows - 1]


def usable_cpus() -> int:
    """Processors this process may run on: ``taskset`` or a container's cpuset may leave fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
