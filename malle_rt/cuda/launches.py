"""How our kernels are started: their names, blocks and arguments for given sizes. No driver is needed here.

The numbers of pixels that a thread does are shared with the sources: ``_PATCHES`` and ``PACK`` with
``ops/csrc/malle_slice.cu``, ``_STEP`` with ``ops/csrc/planes.cu``, ``_THREADS`` with ``kThreads`` in
``ops/csrc/packs.cuh``.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from malle_rt.errors import ConfigError

__all__ = [
    "PACK",
    "DevicePlanes",
    "Launch",
    "Layout",
    "SliceDims",
    "Storage",
    "launch_shape",
    "pack_launch",
    "padded_size",
    "slice_launch",
    "unpack_launch",
]

Storage = Literal["f16", "f32"]
Layout = Literal["planar", "semi-planar"]

_THREADS = 256
PACK = 16  # bytes of one pack, and what its address must be a multiple of
# (kernel size, stride): rows of a thread's patch
_PATCHES = {(5, 4): 2, (3, 2): 2, (5, 2): 2, (3, 1): 1, (3, 4): 2}
_STEP = 8
_MOST_BLOCKS = 65535  # along y and z, on every GPU
_ITEM = {"f16": 2, "f32": 4}
_KERNEL_SIZES = (1, 3, 5)

_pointer, _int, _float = ctypes.c_uint64, ctypes.c_int, ctypes.c_float


def padded_size(width: int, height: int) -> tuple[int, int]:
    """Rows and columns of the luma that a frame is padded to.

    The network takes multiples of 8. In multiples of 16, rows at half the width are whole packs too, and every slice
    of the network takes its fast kernel.
    """
    return -(-height // 8) * 8, -(-width // 16) * 16


@dataclass(frozen=True, kw_only=True)
class SliceDims:
    """Sizes of one slice, by ``malle_rt.ops.reference.malle_slice``'s contract.

    Attributes:
        batch, channels, height, width: of x and y.
        groups: of channels that share kernels.
        rows, columns: of the grid; height and width are one whole stride larger.
        kernel_size: 1, 3 or 5.

    Raises:
        ConfigError: sizes outside the contract.
    """

    batch: int
    channels: int
    groups: int
    height: int
    width: int
    rows: int
    columns: int
    kernel_size: int

    def __post_init__(self) -> None:
        if self.kernel_size not in _KERNEL_SIZES:
            raise ConfigError(f"kernel_size must be one of {_KERNEL_SIZES}, got {self.kernel_size}")
        if min(self.batch, self.channels, self.groups, self.rows, self.columns) < 1:
            raise ConfigError(f"a slice needs at least one of everything, got {self}")
        if self.channels % self.groups:
            raise ConfigError(f"groups must divide the {self.channels} channels of x, got {self.groups}")
        stride = self.height // self.rows
        if stride < 1 or (self.height, self.width) != (stride * self.rows, stride * self.columns):
            raise ConfigError(
                f"x must be one integer stride larger than grid, "
                f"got {self.height}x{self.width} over {self.rows}x{self.columns}"
            )
        if self.batch * self.groups > _MOST_BLOCKS:
            raise ConfigError(
                f"batch * groups must be at most {_MOST_BLOCKS}, got {self.batch} * {self.groups}"
            )

    @classmethod
    def of(cls, x: Sequence[int], grid: Sequence[int], kernel_size: int) -> SliceDims:
        """Sizes from the shapes of x (N, C, H, W) and grid (N, G * (kernel_size**2 + 1), h, w)."""
        if len(x) != 4 or len(grid) != 4 or x[0] != grid[0]:
            raise ConfigError(f"x and grid must be (N, C, H, W) with one N, got {tuple(x)} and {tuple(grid)}")
        values = kernel_size**2 + 1
        if grid[1] % values:
            raise ConfigError(f"grid must have G * {values} channels, got {grid[1]}")
        return cls(
            batch=x[0],
            channels=x[1],
            groups=grid[1] // values,
            height=x[2],
            width=x[3],
            rows=grid[2],
            columns=grid[3],
            kernel_size=kernel_size,
        )


@dataclass(frozen=True, kw_only=True)
class DevicePlanes:
    """A 4:2:0 frame in device memory; chroma planes are half of the luma's size, rounded up.

    Attributes:
        pointers: addresses of Y, U, V, or of Y and the plane that U and V share.
        pitches: bytes from row to row of each plane.
        width, height: of the luma.
        bits: of a code value: 8 in uint8, 9 to 16 in uint16.
        layout: "planar" (yuv420p and its like: code values in the low bits) or "semi-planar" (NV12, P010 and its
            like: U and V take turns, code values in the high bits).

    Raises:
        ConfigError: a plane too many or too few, a pitch that does not hold a row.
    """

    pointers: tuple[int, ...]
    pitches: tuple[int, ...]
    width: int
    height: int
    bits: int = 8
    layout: Layout = "planar"

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ConfigError(f"a frame has at least one pixel, got {self.width}x{self.height}")
        if not 8 <= self.bits <= 16:
            raise ConfigError(f"code values have 8 to 16 bits, got {self.bits}")
        planes = 3 if self.layout == "planar" else 2
        if len(self.pointers) != planes or len(self.pitches) != planes:
            raise ConfigError(
                f"a {self.layout} frame has {planes} pointers and pitches, "
                f"got {len(self.pointers)} and {len(self.pitches)}"
            )
        size = 1 if self.bits == 8 else 2
        chroma = (self.width + 1) // 2 * size
        rows = (self.width * size, chroma, chroma) if planes == 3 else (self.width * size, 2 * chroma)
        for pointer, pitch, row in zip(self.pointers, self.pitches, rows, strict=True):
            if pitch < row or pitch % size or pointer % size:
                raise ConfigError(
                    f"planes begin and repeat at whole samples of {size} bytes, and a pitch holds a row of "
                    f"{row} bytes; got address {pointer:#x}, pitch {pitch}"
                )

    @property
    def largest(self) -> int:
        """Largest code value."""
        return (1 << self.bits) - 1

    @property
    def sample(self) -> str:
        """Type of a sample as the kernels name it."""
        return "u8" if self.bits == 8 else "u16"

    @property
    def shift(self) -> int:
        """Bits that a code value lies above its sample's lowest."""
        return 16 - self.bits if self.layout == "semi-planar" and self.bits > 8 else 0

    def _arguments(self) -> tuple[Any, ...]:
        """Y, U, V and their pitches; no V where it shares U's plane."""
        pointers, pitches = (*self.pointers, 0)[:3], (*self.pitches, 0)[:3]
        return (*map(_pointer, pointers), *map(_int, pitches))


@dataclass(frozen=True)
class Launch:
    """One start of a kernel.

    Attributes:
        name: of the kernel.
        grid: blocks.
        block: threads of a block.
        arguments: ``ctypes`` scalars, in the order of the kernel's parameters.
    """

    name: str
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    arguments: tuple[Any, ...]


def launch_shape(
    across: int, down: int, deep: int, *, threads: int = _THREADS
) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Grid and block for so many threads: blocks 32 wide, or 16 where that leaves fewer threads idle."""
    wide = 32 if -(-across // 32) * 2 == -(-across // 16) else 16
    high = threads // wide
    grid = (-(-across // wide), -(-down // high), deep)
    if grid[1] > _MOST_BLOCKS:
        raise ConfigError(f"pictures may have up to {_MOST_BLOCKS * high} rows of threads, got {down}")
    return grid, (wide, high, 1)


def slice_launch(x: int, grid: int, y: int, dims: SliceDims, dtype: Storage) -> Launch:
    """``malle_slice`` on dense tensors; see ``Kernels.slice``."""
    stride = dims.height // dims.rows
    arguments = (
        *map(_pointer, (x, grid, y)),
        *map(_int, (dims.channels // dims.groups, dims.rows, dims.columns)),
    )
    name = f"malle_slice_{dtype}_k{dims.kernel_size}"
    deep = dims.batch * dims.groups
    rows = _PATCHES.get((dims.kernel_size, stride))
    wide = PACK // _ITEM[dtype]
    if rows is None or dims.width % wide or (x | grid | y) % PACK:
        return Launch(name, *launch_shape(dims.width, dims.height, deep), (*arguments, _int(stride)))
    # Patches begin half a stride above the picture.
    down = -(-(dims.height + stride // 2) // rows)
    return Launch(f"{name}_s{stride}", *launch_shape(dims.width // wide, down, deep), arguments)


def pack_launch(
    planes: DevicePlanes,
    told: int,
    y: int,
    uv: int,
    to_told: int,
    *,
    levels: int,
    padded: tuple[int, int],
    storage: Storage,
) -> Launch:
    """Planes to the network's inputs; see ``Kernels.pack``."""
    rows, columns = _tensor_size(planes, padded)
    arguments = (
        *planes._arguments(),
        *map(_int, (planes.width, planes.height, planes.shift)),
        _float(1 / planes.largest),
        *map(_pointer, (y, uv)),
        *map(_int, (rows, columns)),
        *map(_pointer, (told, to_told)),
        _int(levels),
    )
    shape = launch_shape(-(-columns // _STEP), rows, len(planes.pointers))
    return Launch(f"malle_pack_{planes.sample}_{storage}", *shape, arguments)


def unpack_launch(
    y: int, uv: int, planes: DevicePlanes, *, padded: tuple[int, int], storage: Storage
) -> Launch:
    """The network's outputs to planes; see ``Kernels.unpack``."""
    rows, columns = _tensor_size(planes, padded)
    arguments = (
        *map(_pointer, (y, uv)),
        *map(_int, (rows, columns)),
        _float(planes.largest),
        *planes._arguments(),
        *map(_int, (planes.width, planes.height, planes.shift)),
    )
    shape = launch_shape(-(-planes.width // _STEP), planes.height, len(planes.pointers))
    return Launch(f"malle_unpack_{planes.sample}_{storage}", *shape, arguments)


def _tensor_size(planes: DevicePlanes, padded: tuple[int, int]) -> tuple[int, int]:
    rows, columns = padded
    if rows < planes.height or columns < planes.width or rows % 2 or columns % 2:
        raise ConfigError(
            f"padded must be even and hold {planes.height} rows of {planes.width} pixels, got {padded}"
        )
    return rows, columns
