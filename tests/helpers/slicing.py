"""What the tests of the operator share: a second implementation and drawn inputs. Needs nothing but numpy."""

from __future__ import annotations

import math

import numpy as np

# (channels, groups, grid rows, grid columns, stride): G = 1, G < C, G = C, odd grids, one-cell grids, and widths
# on both sides of what the compiled kernel takes at once: 64 cells at stride 1, 32 at 2, 16 at 4 and 8.
CASES = [
    (1, 1, 3, 5, 1),
    (3, 1, 3, 5, 2),
    (4, 2, 3, 5, 4),
    (4, 4, 3, 5, 8),
    (6, 3, 1, 3, 16),
    (2, 1, 1, 1, 2),
    (2, 2, 5, 37, 1),
    (2, 1, 6, 65, 1),
    (2, 2, 3, 32, 2),
    (3, 1, 4, 33, 2),
    (2, 2, 5, 16, 4),
    (3, 3, 2, 17, 4),
    (2, 1, 7, 9, 8),
    (2, 1, 1, 17, 8),
    (2, 1, 3, 7, 3),
    (2, 2, 2, 13, 5),
]
KERNEL_SIZES = (1, 3, 5)


def draw(case, kernel_size, *, batch=2, seed=0):
    """x and grid of a case, float32 in [-1, 1]."""
    channels, groups, rows, columns, stride = case
    random = np.random.default_rng(seed)
    x = random.uniform(-1, 1, (batch, channels, rows * stride, columns * stride))
    grid = random.uniform(-1, 1, (batch, groups * (kernel_size**2 + 1), rows, columns))
    return x.astype(np.float32), grid.astype(np.float32)


def slice_by_hand(x, grid, kernel_size):
    """``malle_slice`` pixel by pixel in float64, from the words of its contract and nothing else."""
    x, grid = x.astype(np.float64), grid.astype(np.float64)
    batch, channels, height, width = x.shape
    rows, columns = grid.shape[2:]
    stride, reach = height // rows, kernel_size // 2
    groups = grid.shape[1] // (kernel_size**2 + 1)
    padded = np.pad(x, ((0, 0), (0, 0), (reach, reach), (reach, reach)))
    y = np.empty_like(x)
    for row, column in np.ndindex(height, width):
        kernels = _bilinear(grid, (row + 0.5) / stride - 0.5, (column + 0.5) / stride - 0.5)
        kernels = kernels.reshape(batch, groups, -1).repeat(channels // groups, axis=1)
        patch = padded[:, :, row : row + kernel_size, column : column + kernel_size].reshape(
            batch, channels, -1
        )
        y[:, :, row, column] = (patch * kernels[:, :, :-1]).sum(-1) + kernels[:, :, -1]
    return y


def _bilinear(grid, v, u):
    """grid at the real coordinates (v, u), clamped: [N, channels]."""
    top, left = math.floor(v), math.floor(u)
    total = np.zeros(grid.shape[:2])
    for row, column in ((top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)):
        weight = (1 - abs(v - row)) * (1 - abs(u - column))
        inside = min(max(row, 0), grid.shape[2] - 1), min(max(column, 0), grid.shape[3] - 1)
        total += weight * grid[:, :, inside[0], inside[1]]
    return total
