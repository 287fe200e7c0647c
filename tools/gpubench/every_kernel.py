"""Every kernel at sizes with odd ends, in memory not a byte too large: what compute-sanitizer is to watch.

    compute-sanitizer python -m gpubench.every_kernel

Only what a kernel reads is written before it: ``initcheck`` finds a read outside of that, and one of a result that the
kernel before was to write. Whether the results are right is for the tests; here is nothing but our kernels, so that the
sanitizer is quick.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal

from malle_rt.cuda.driver import Driver, Stream
from malle_rt.cuda.kernels import Kernels
from malle_rt.cuda.launches import (
    DevicePlanes,
    Launch,
    SliceDims,
    Storage,
    pack_launch,
    padded_size,
    slice_launch,
    unpack_launch,
)
from malle_rt.cuda.looks import block_sums_launch, blocks_of, parts_launch
from malle_rt.cuda.motion import Past, align_launches, motion_memory
from malle_rt.cuda.opening import open_driver

__all__ = ["DeviceMemory", "frame_launches", "run"]

_STORAGES: tuple[Storage, ...] = ("f16", "f32")
_LAYOUTS: tuple[Literal["planar", "semi-planar"], ...] = ("planar", "semi-planar")
_STRIDES = (1, 2, 3, 4)
# Columns of pixels: one pack, several blocks, and two that are no whole packs.
_WIDTHS = (24, 264, 276, 60)
_PICTURES = ((1, 1), (35, 21), (64, 48), (331, 181))
_DEPTHS = (8, 10)


@dataclass
class DeviceMemory:
    """Device memory of exactly the sizes asked for."""

    driver: Driver
    stream: Stream
    undo: ExitStack

    def unwritten(self, nbytes: int, shift: int = 0) -> int:
        """Address of ``nbytes`` bytes, ``shift`` bytes away from the allocator's alignment, for a kernel to write."""
        buffer = self.driver.allocate(nbytes + shift)
        self.undo.callback(buffer.close)
        return buffer.pointer + shift

    def zeros(self, nbytes: int, shift: int = 0) -> int:
        """The same, for a kernel to read: the bytes hold 0, those before them nothing."""
        pointer = self.unwritten(nbytes, shift)
        self.driver.clear(pointer, nbytes, self.stream)
        return pointer


def run(driver: Driver) -> set[str]:
    """Start them all; returns the names of those that ran. Raises ``KernelError``."""
    kernels = Kernels(driver)
    started: set[str] = set()
    with ExitStack() as outer:
        stream = driver.stream()
        outer.callback(stream.close)
        kinds = (_slice_cases(), _plane_cases(), _motion_cases(), _look_cases())
        cases: Iterator[_SliceCase | _PlaneCase | _MotionCase | _LookCase] = itertools.chain(*kinds)
        for case in cases:
            with ExitStack() as undo:
                for launch in case.launches(DeviceMemory(driver, stream, undo)):
                    kernels.start(launch, stream.handle)
                    started.add(launch.name)
                stream.synchronize(seconds=60)
    return started


@dataclass(frozen=True)
class _SliceCase:
    dims: SliceDims
    storage: Storage
    shift: int  # values between the memory's alignment and the tensors'

    def launches(self, memory: DeviceMemory) -> Iterator[Launch]:
        item = 2 if self.storage == "f16" else 4
        d, values = self.dims, self.dims.kernel_size**2 + 1
        picture = d.batch * d.channels * d.height * d.width * item
        cells = d.batch * d.groups * values * d.rows * d.columns * item
        x, grid = (memory.zeros(size, self.shift * item) for size in (picture, cells))
        y = memory.unwritten(picture, self.shift * item)
        yield slice_launch(x, grid, y, d, self.storage)


def _slice_cases() -> Iterator[_SliceCase]:
    for size, stride, width, storage, shift in itertools.product(
        (1, 3, 5), _STRIDES, _WIDTHS, _STORAGES, (0, 1)
    ):
        rows, columns = 24 // stride, width // stride
        grid = (2, 2 * (size**2 + 1), rows, columns)
        yield _SliceCase(SliceDims.of((2, 4, rows * stride, columns * stride), grid, size), storage, shift)


@dataclass(frozen=True)
class _PlaneCase:
    size: tuple[int, int]
    bits: int
    layout: Literal["planar", "semi-planar"]
    storage: Storage
    shift: int  # samples

    def launches(self, memory: DeviceMemory) -> Iterator[Launch]:
        width, height = self.size
        padded = padded_size(width, height)
        item, sample = 2 if self.storage == "f16" else 4, 1 if self.bits == 8 else 2
        pixels = padded[0] * padded[1] * item
        y, uv, to_told = (memory.unwritten(each) for each in (pixels, pixels // 2, 4 * item))
        told = memory.zeros(16)
        shapes = self._shapes(sample)
        planes = DevicePlanes(
            pointers=tuple(memory.zeros(rows * pitch, self.shift * sample) for rows, pitch in shapes),
            pitches=tuple(pitch for _, pitch in shapes),
            width=width,
            height=height,
            bits=self.bits,
            layout=self.layout,
        )
        yield pack_launch(planes, told, y, uv, to_told, levels=4, padded=padded, storage=self.storage)
        yield unpack_launch(y, uv, planes, padded=padded, storage=self.storage)

    def _shapes(self, sample: int) -> list[tuple[int, int]]:
        """Rows and bytes of a row of each plane; nothing lies between the rows."""
        (width, height), half = self.size, ((self.size[1] + 1) // 2, (self.size[0] + 1) // 2 * sample)
        luma = (height, width * sample)
        return [luma, half, half] if self.layout == "planar" else [luma, (half[0], 2 * half[1])]


def _plane_cases() -> Iterator[_PlaneCase]:
    for case in itertools.product(_PICTURES, _DEPTHS, _LAYOUTS, _STORAGES, (0, 1)):
        yield _PlaneCase(*case)


@dataclass(frozen=True)
class _MotionCase:
    size: tuple[int, int]
    storage: Storage

    def launches(self, memory: DeviceMemory) -> Iterator[Launch]:
        padded = padded_size(*self.size)
        luma = padded[0] * padded[1] * (2 if self.storage == "f16" else 4)
        sizes = (luma, luma // 2, luma // 4)  # one plane of hidden state
        before, after = Past(*map(memory.zeros, sizes)), Past(*map(memory.unwritten, sizes))
        search = memory.unwritten(motion_memory(padded))
        yield from align_launches(
            memory.zeros(luma), before, after, search, hidden=1, padded=padded, storage=self.storage
        )


def _motion_cases() -> Iterator[_MotionCase]:
    for case in itertools.product(_PICTURES, _STORAGES):
        yield _MotionCase(*case)


@dataclass(frozen=True)
class _LookCase:
    size: tuple[int, int]
    bits: int

    def launches(self, memory: DeviceMemory) -> Iterator[Launch]:
        (width, height), sample = self.size, 1 if self.bits == 8 else 2
        planes = DevicePlanes(
            pointers=tuple(memory.zeros(rows * width * sample) for rows in (height, height // 2)),
            pitches=(width * sample, width * sample),
            width=width,
            height=height,
            bits=self.bits,
            layout="semi-planar",
        )
        blocks = blocks_of(width, height, 2)
        yield block_sums_launch(planes, 2, memory.unwritten(4 * blocks[0] * blocks[1]))
        sides = (
            (slice(0, height // 2), slice(height // 2, height)),
            (slice(0, width // 2), slice(width // 2, width)),
        )
        luma, chroma = (memory.unwritten(width * height * sample // share) for share in (1, 2))
        yield parts_launch(planes, list(itertools.product(*sides)), luma, chroma)


def _look_cases() -> Iterator[_LookCase]:
    for case in itertools.product(((40, 36), (324, 180)), _DEPTHS):
        yield _LookCase(*case)


def frame_launches(memory: DeviceMemory, size: tuple[int, int]) -> Iterator[Launch]:
    """All launches for one frame in NV12 but the network's own, which computes in float16."""
    for case in (_PlaneCase(size, 8, "semi-planar", "f16", 0), _MotionCase(size, "f16"), _LookCase(size, 8)):
        yield from case.launches(memory)


def main() -> None:
    """Run the command line."""
    driver = open_driver()
    print(f"{len(run(driver))} kernels ran on {driver.device.name}")
    driver.close()


if __name__ == "__main__":
    main()
