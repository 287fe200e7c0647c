"""How the kernels of ``ops/csrc/looks.cu`` are started: what little the host wants to see of a surface."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

from malle_rt.cuda.launches import DevicePlanes, Launch, launch_shape
from malle_rt.errors import ConfigError

__all__ = ["BLOCK", "block_sums_launch", "blocks_of", "parts_launch"]

BLOCK = 16  # side of a block in pixels; as ``malle_rt.cuts`` has it
_pointer, _int = ctypes.c_uint64, ctypes.c_int


def blocks_of(width: int, height: int, step: int) -> tuple[int, int]:
    """Rows and columns of blocks in a picture, of every ``step``-th row of blocks."""
    return -(-(height // BLOCK) // step), width // BLOCK


def block_sums_launch(planes: DevicePlanes, step: int, sums: int) -> Launch:
    """Sums of the luma's blocks.

    Args:
        planes: of a surface.
        step: of so many rows of blocks, the first.
        sums: device address of ``blocks_of`` uint32, written.
    """
    rows, columns = blocks_of(planes.width, planes.height, step)
    arguments = (
        _pointer(planes.pointers[0]),
        *map(_int, (planes.pitches[0], planes.shift, rows, columns, step)),
        _pointer(sums),
    )
    return Launch(f"malle_block_sums_{planes.sample}", *launch_shape(columns, rows, 1), arguments)


def parts_launch(
    planes: DevicePlanes, parts: Sequence[tuple[slice, slice]], luma: int, chroma: int
) -> Launch:
    """Copies of parts of the picture, code values in the low bits.

    Args:
        planes: of a surface.
        parts: rows and columns of the luma of one part or of four, all of one even size, at even places; four are the
            corners of a rectangle, in the order of reading.
        luma: device address of (parts, rows, columns) samples, written.
        chroma: of (2, parts, rows / 2, columns / 2), written.

    Raises:
        ConfigError: other parts.
    """
    first, last = parts[0], parts[-1]
    tops, lefts = ((first[axis].start, last[axis].start) for axis in (0, 1))
    rows, columns = (side.stop - side.start for side in first)
    corners = [(top, left) for top in tops for left in lefts] if len(parts) == 4 else [(tops[0], lefts[0])]
    wanted = [(slice(top, top + rows), slice(left, left + columns)) for top, left in corners]
    if list(parts) != wanted or any(number % 2 for number in (*tops, *lefts, rows, columns)):
        raise ConfigError(f"parts are one or four of one even size at even places, got {parts}")
    arguments = (
        *map(_pointer, planes.pointers[:2]),
        *map(_int, (*planes.pitches[:2], planes.shift, len(parts), *tops, *lefts, rows, columns)),
        *map(_pointer, (luma, chroma)),
    )
    return Launch(
        f"malle_parts_{planes.sample}", *launch_shape(columns // 2, rows // 2, len(parts)), arguments
    )
