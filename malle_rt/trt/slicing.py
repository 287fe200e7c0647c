"""What a ``MalleSlice`` node of a TensorRT network must look like, and what it asks of the kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from malle_rt.cuda.launches import SliceDims, Storage
from malle_rt.errors import ConfigError

__all__ = ["KERNEL_SIZES", "Slicer", "check_channels", "slice_dims"]

KERNEL_SIZES = (1, 3, 5)  # as malle_rt.ops.reference, which is out of reach without torch


class Slicer(Protocol):
    """Whoever starts the kernel: ``malle_rt.cuda.kernels.Kernels``."""

    def slice(self, x: int, grid: int, y: int, dims: SliceDims, dtype: Storage, stream: int) -> None:
        """Start ``malle_slice`` on device addresses; allocates nothing and waits for nothing."""
        ...


def check_channels(node: str, channels: int, values: int, kernel_size: int) -> int:
    """Number of groups that share kernels.

    Args:
        node: name of the node, for messages.
        channels: of x.
        values: channels of the grid.
        kernel_size: 1, 3 or 5.

    Raises:
        ValueError: the grid does not hold whole kernels for whole groups of channels.
    """
    taps = kernel_size**2 + 1
    groups, rest = divmod(values, taps)
    if rest or groups < 1 or channels % groups:
        raise ValueError(
            f"{node}: the grid must have G * {taps} channels with G dividing {channels}, got {values}"
        )
    return groups


def slice_dims(node: str, x: Sequence[int], grid: Sequence[int], y: Sequence[int], size: int) -> SliceDims:
    """Check three shapes against the operator's contract.

    Args:
        node: name of the node, for messages.
        x: (N, C, H, W).
        grid: (N, G * (size**2 + 1), h, w).
        y: as x.
        size: of the kernels.

    Raises:
        ValueError: a shape outside the contract; see ``malle_rt.ops.reference.malle_slice``.
    """
    if tuple(x) != tuple(y):
        raise ValueError(f"{node}: y must have the shape of x, got {tuple(y)} and {tuple(x)}")
    try:
        return SliceDims.of(tuple(x), tuple(grid), size)
    except ConfigError as exc:
        raise ValueError(f"{node}: {exc}") from exc
