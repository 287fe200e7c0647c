"""Bandwidth of the fused slice beside that of a copy on the same device, over buffers that no cache holds."""

from __future__ import annotations

import itertools
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from gpubench.timing import milliseconds
from malle_rt.cuda.driver import Driver, Stream
from malle_rt.cuda.kernels import Kernels, SliceDims
from malle_rt.cuda.launches import Storage

__all__ = ["measure"]

# Buffers take turns, so that what a call reads was pushed out of the last-level cache (50 to 128 MiB) since.
_SPREAD = 512 * 2**20
_MOST_BUFFERS = 64


@dataclass(frozen=True)
class Case:
    """One slice of MalleNet-RT at one picture size."""

    name: str
    dims: SliceDims


def cases(width: int, height: int, channels: int) -> list[Case]:
    """The slices of the networks: of rt-s, of the larger ones, and inside the trunk, of so many ``channels``."""
    rows, columns = height // 2, width // 2
    inside = (1, channels, 10 * channels)
    return [
        Case("luma K=5 stride 4", SliceDims.of((1, 1, height, width), (1, 26, rows // 2, columns // 2), 5)),
        Case("chroma K=3 stride 2", SliceDims.of((1, 2, rows, columns), (1, 10, rows // 2, columns // 2), 3)),
        Case("luma K=5 stride 2", SliceDims.of((1, 1, height, width), (1, 26, rows, columns), 5)),
        Case("chroma K=3 stride 1", SliceDims.of((1, 2, rows, columns), (1, 10, rows, columns), 3)),
        Case(
            f"trunk K=3 stride 4, {channels} channels",
            SliceDims.of((1, inside[1], rows, columns), (1, inside[2], rows // 4, columns // 4), 3),
        ),
    ]


def measure(driver: Driver, sizes: dict[str, tuple[int, int]], channels: int = 16) -> list[dict[str, Any]]:
    """A row for each case, size and storage type: microseconds, GB/s, and the share of the copy's GB/s."""
    kernels = Kernels(driver)
    rows: list[dict[str, Any]] = []
    storages: tuple[Storage, ...] = ("f16", "f32")
    with ExitStack() as undo:
        stream = driver.stream()
        undo.callback(stream.close)
        for (size, (width, height)), storage in itertools.product(sizes.items(), storages):
            for case in cases(width, height, channels):
                rows.append({"size": size, "storage": storage, "case": case.name})
                rows[-1] |= _one(driver, kernels, stream, case.dims, storage)
    return rows


def _one(
    driver: Driver, kernels: Kernels, stream: Stream, dims: SliceDims, storage: Storage
) -> dict[str, float]:
    item = 2 if storage == "f16" else 4
    x = dims.batch * dims.channels * dims.height * dims.width * item
    values = dims.kernel_size**2 + 1
    grid = dims.batch * dims.groups * values * dims.rows * dims.columns * item
    moved = 2 * x + grid
    count = min(_MOST_BUFFERS, max(2, -(-_SPREAD // moved)))
    with ExitStack() as undo:
        sets = []
        for _ in range(count):
            buffers = [driver.allocate(size) for size in (x, grid, x)]
            for buffer, size in zip(buffers, (x, grid, x), strict=True):
                undo.callback(buffer.close)
                driver.clear(buffer.pointer, size, stream)
            sets.append(tuple(buffer.pointer for buffer in buffers))
        turns = itertools.cycle(sets)

        def slice_once() -> None:
            source, kernel, target = next(turns)
            kernels.slice(source, kernel, target, dims, storage, stream.handle)

        taken = milliseconds(driver, stream, slice_once, repeats=4 * count)
    copied = _copy(driver, stream, moved)
    return {
        "microseconds": round(taken * 1e3, 2),
        "gigabytes_per_second": round(moved / taken / 1e6, 1),
        "copy_gigabytes_per_second": round(copied, 1),
        "share_of_copy": round(moved / taken / 1e6 / copied, 3),
    }


def _copy(driver: Driver, stream: Stream, moved: int) -> float:
    """GB/s, read and written, of device copies that move as many bytes in all."""
    half = moved // 2
    count = min(_MOST_BUFFERS, max(2, -(-_SPREAD // moved)))
    with ExitStack() as undo:
        pairs = []
        for _ in range(count):
            buffers = [driver.allocate(half) for _ in range(2)]
            for buffer in buffers:
                undo.callback(buffer.close)
            pairs.append((buffers[0].pointer, buffers[1].pointer))
        turns = itertools.cycle(pairs)

        def copy_once() -> None:
            source, target = next(turns)
            driver.copy(target, source, half, stream)

        taken = milliseconds(driver, stream, copy_once, repeats=4 * count)
    return 2 * half / taken / 1e6
