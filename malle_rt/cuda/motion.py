"""Aligning the past on a GPU: the kernels that search and move, in their order; ``malle_rt.ops.motion`` defines them.

Shared with ``ops/csrc/motion.cu``: ``_BLOCK``, ``_MARGIN``, the levels' sizes.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass

from malle_rt.cuda.launches import PACK, Launch, Storage, launch_shape
from malle_rt.errors import ConfigError

__all__ = ["Past", "align_launches", "motion_memory"]

_BLOCK = 8
_MARGIN = 8  # blocks around each level
_LEVEL_PIXELS = 64 + 16 + 4 + 1  # of a block, at all levels
_BEHIND = 16  # bytes that are read, but not used, behind the last level
_MOTION = 4  # bytes, as well as of a sum of differences
_SUMS = 6  # times as many, of a block's products
_ALIGNED = 256
# A thread does a block, and has much to do: small groups of them find more multiprocessors.
_THREADS = 64

_pointer, _int = ctypes.c_uint64, ctypes.c_int


@dataclass(frozen=True)
class Past:
    """Device addresses of what is kept of a video; dense, multiples of 16.

    Attributes:
        y: of (1, 1, rows, columns).
        uv: of (1, 2, rows / 2, columns / 2).
        hidden: of (1, hidden, rows / 2, columns / 2).
    """

    y: int
    uv: int
    hidden: int


def motion_memory(padded: tuple[int, int]) -> int:
    """Bytes of device memory that a search needs for luma of so many rows and columns."""
    rows, columns = _blocks(padded)
    return 2 * _levels(rows, columns) + (5 + _SUMS) * _up(rows * columns * _MOTION)


def align_launches(
    y: int,
    before: Past,
    after: Past,
    memory: int,
    *,
    hidden: int,
    padded: tuple[int, int],
    storage: Storage,
) -> Iterator[Launch]:
    """What finds where the past of each block is, and moves it there; to be started in this order in one stream.

    Args:
        y: device address of the frame's luma, (1, 1, rows, columns) in [0, 1].
        before: read.
        after: written; must not overlap ``before``.
        memory: device address of ``motion_memory`` bytes, a multiple of 256.
        hidden: planes of the hidden state.
        padded: rows and columns of the luma, multiples of 8.
        storage: element type of all tensors.

    Raises:
        ConfigError: a size or an address that the kernels do not take.
    """
    rows, columns = _blocks(padded)
    addresses = (y, *vars(before).values(), *vars(after).values())
    if any(each % PACK for each in addresses) or memory % _ALIGNED:
        raise ConfigError(
            f"tensors begin at multiples of {PACK} bytes, got {[hex(each) for each in addresses]}"
        )
    levels = _levels(rows, columns)
    each = _up(rows * columns * _MOTION)
    first, second, chosen, standing, moving, sums = (memory + 2 * levels + i * each for i in range(6))
    pictures = (memory, memory + levels)
    sizes = (_int(rows), _int(columns))
    across = (columns + 2 * _MARGIN, rows + 2 * _MARGIN, 2)
    yield Launch(
        f"malle_motion_levels_{storage}",
        *launch_shape(*across, threads=_THREADS),
        (*map(_pointer, (y, before.y, *pictures)), *sizes),
    )
    blocks = launch_shape(columns, rows, 1, threads=_THREADS)
    yield Launch("malle_motion_coarse", *blocks, (*map(_pointer, (*pictures, first)), *sizes))
    for level, coarser, found in ((2, first, second), (1, second, first), (0, first, second)):
        places = (*pictures, coarser, found, standing, moving)
        yield Launch(f"malle_motion_l{level}", *blocks, (*map(_pointer, places), *sizes))
    yield Launch("malle_motion_choose", *blocks, (*map(_pointer, (second, standing, moving, chosen)), *sizes))
    yield Launch("malle_motion_measure", *blocks, (*map(_pointer, (*pictures, chosen, sums)), *sizes))
    eighths = first  # what the coarser levels found is not needed any more
    yield Launch("malle_motion_part", *blocks, (*map(_pointer, (chosen, sums, eighths)), *sizes))
    places = (*vars(before).values(), *vars(after).values(), eighths)
    yield Launch(
        f"malle_move_{storage}",
        *launch_shape(columns, rows * _BLOCK, 3 + hidden),
        (*map(_pointer, places), *sizes),
    )


def _blocks(padded: tuple[int, int]) -> tuple[int, int]:
    if any(side < _BLOCK or side % _BLOCK for side in padded):
        raise ConfigError(f"what is aligned has sides that are multiples of {_BLOCK}, got {padded}")
    return padded[0] // _BLOCK, padded[1] // _BLOCK


def _levels(rows: int, columns: int) -> int:
    """Bytes of all levels of one picture."""
    return _up((rows + 2 * _MARGIN) * (columns + 2 * _MARGIN) * _LEVEL_PIXELS + _BEHIND)


def _up(nbytes: int) -> int:
    return -(-nbytes // _ALIGNED) * _ALIGNED
