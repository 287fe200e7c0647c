"""Where each block of a frame was in the frame before, in plain torch: the definition of "right" for the C++ kernel.

A hierarchical block search on luma codes (Bierling, "Displacement estimation by hierarchical blockmatching", SPIE
1988). The luma is halved three times; at an eighth of its size every displacement of up to 4 pixels is tried, 32 of
the luma; each finer level tries twice what the coarser one found, and one pixel around it. No displacement is a
candidate at every level and wins ties: what stands still, stays. All of it is integer arithmetic, so that every
implementation finds the same.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["BETTER", "BLOCK", "LEVELS", "align", "find_motion", "move"]

BLOCK = 8  # side of a block, in luma pixels
LEVELS = 4  # sizes of the luma: 1, 1/2, 1/4, 1/8
REACH = 4  # of the search at the coarsest level
WINDOWS = (16, 8, 8, 5)  # sides of what is compared for a block, in each level's own pixels
NEARBY = 5  # blocks, across and down, that decide together whether the one in their middle moves
BETTER = 20  # they move where they fit better than standing still by more than one part in so many
_MARGINS = (48, 24, 16, 8)  # pixels that repeat the edges of each level


def find_motion(now: Tensor, before: Tensor) -> Tensor:
    """How far from each block its past is to be found.

    Args:
        now: (N, 1, H, W) uint8 luma codes, 8 bits; H and W multiples of ``BLOCK``.
        before: the frame before, likewise.

    Returns:
        (N, 2, H / 8, W / 8) int16: pixels down and to the right, each at most 39 either way.
    """
    return torch.ops.malle.find_motion(now, before)  # type: ignore[no-any-return]


@torch.library.custom_op("malle::find_motion", mutates_args=())
def _find_motion(now: Tensor, before: Tensor) -> Tensor:
    levels = [(_whole(now), _whole(before))]
    for _ in range(LEVELS - 1):
        levels.append((_halved(levels[-1][0]), _halved(levels[-1][1])))
    n, _, rows, columns = levels[-1][0].shape
    found = torch.zeros(n, 2, rows, columns, dtype=torch.long, device=now.device)
    compare = _Comparison(levels, LEVELS - 1)
    best = compare(found)
    for down, right in _spiral():
        step = torch.tensor([down, right], device=now.device).view(1, 2, 1, 1).expand_as(found)
        best, found = _better(compare(step), step, best, found)
    for level in reversed(range(LEVELS - 1)):
        compare = _Comparison(levels, level)
        coarse, standing = found, compare(torch.zeros_like(found))
        best, found = standing, torch.zeros_like(found)
        candidates = [2 * coarse]
        if level == LEVELS - 2:
            candidates += [2 * _neighbour(coarse, *where) for where in ((-1, 0), (1, 0), (0, -1), (0, 1))]
        for candidate in candidates:
            best, found = _better(compare(candidate), candidate, best, found)
        middle = found
        for down in (-1, 0, 1):
            for right in (-1, 0, 1):
                step = middle + torch.tensor([down, right], device=now.device).view(1, 2, 1, 1)
                best, found = _better(compare(step), step, best, found)
    gain, whole = (_around(each.unsqueeze(1)) for each in (standing - best, standing))
    return (found * (gain * BETTER > whole)).short()


def move(plane: Tensor, motion: Tensor, block: int = BLOCK) -> Tensor:
    """Read each block of a plane from where the motion points; outside of the picture its edges go on.

    Args:
        plane: (N, C, H, W).
        motion: of ``find_motion``, (N, 2, H / block, W / block).
        block: side of a block in this plane: 8 for the luma, 4 for planes of half its size, whose motion is half as
            far, rounded up.

    Returns:
        Like ``plane``.
    """
    n, channels, height, width = plane.shape
    steps = motion.long() if block == BLOCK else (motion.long() + 1) >> 1
    steps = steps.repeat_interleave(block, 2).repeat_interleave(block, 3)
    down = (torch.arange(height, device=plane.device)[:, None] + steps[:, 0]).clamp(0, height - 1)
    right = (torch.arange(width, device=plane.device) + steps[:, 1]).clamp(0, width - 1)
    places = (down * width + right).flatten(1).unsqueeze(1).expand(-1, channels, -1)
    return plane.flatten(2).gather(2, places).view_as(plane)


def align(
    y: Tensor, y_before: Tensor, uv_before: Tensor, hidden_before: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """What is kept of a video, moved to where it is in this frame.

    Args:
        y: (N, 1, H, W) luma of the frame in [0, 1]; H and W multiples of ``BLOCK``.
        y_before: (N, 1, H, W) the previous denoised luma, likewise.
        uv_before: (N, 2, H/2, W/2).
        hidden_before: (N, C, H/2, W/2).

    Returns:
        The last three, moved.
    """
    motion = find_motion(_codes(y), _codes(y_before))
    half = BLOCK // 2
    return move(y_before, motion), move(uv_before, motion, half), move(hidden_before, motion, half)


def _codes(luma: Tensor) -> Tensor:
    """Luma in [0, 1] as codes of 8 bits, halves to even."""
    return luma.detach().float().mul(255).round_().clamp_(0, 255).byte()


def _whole(codes: Tensor) -> Tensor:
    return codes.to(torch.int32)


def _halved(codes: Tensor) -> Tensor:
    return (F.unfold(codes.float(), 2, stride=2).sum(1).to(torch.int32) + 2 >> 2).view(
        codes.shape[0], 1, codes.shape[2] // 2, codes.shape[3] // 2
    )


def _spiral() -> list[tuple[int, int]]:
    """Displacements of the exhaustive search, nearer ones first."""
    steps = range(-REACH, REACH + 1)
    return sorted(
        ((down, right) for down in steps for right in steps), key=lambda at: at[0] ** 2 + at[1] ** 2
    )


class _Comparison:
    """Sums of absolute differences of each block's window and where a displacement takes it, at one level."""

    def __init__(self, levels: list[tuple[Tensor, Tensor]], level: int) -> None:
        now, before = levels[level]
        margin, window = _MARGINS[level], WINDOWS[level]
        side = BLOCK >> level
        self._rows, self._columns = now.shape[2] // side, now.shape[3] // side
        now, before = (F.pad(each.float(), (margin,) * 4, mode="replicate").int() for each in (now, before))
        self._width = now.shape[3]
        halo = (window - side) // 2
        device = now.device
        down = torch.arange(self._rows, device=device) * side + margin - halo
        right = torch.arange(self._columns, device=device) * side + margin - halo
        inside = torch.arange(window, device=device)
        # Places of each block's window in the flat picture: (blocks, window * window).
        self._places = (
            (down[:, None, None, None] + inside[:, None]) * self._width + right[:, None, None] + inside
        ).reshape(self._rows * self._columns, window * window)
        self._before = before.flatten(1)
        self._now = now.flatten(1)[:, self._places]

    def __call__(self, motion: Tensor) -> Tensor:
        """Of displacements (N, 2, rows, columns), in this level's pixels: (N, rows, columns)."""
        step = (motion[:, 0] * self._width + motion[:, 1]).flatten(1)
        places = self._places + step.unsqueeze(2)
        there = self._before.gather(1, places.flatten(1)).view_as(self._now)
        return (self._now - there).abs().sum(2).view(-1, self._rows, self._columns)


def _better(cost: Tensor, step: Tensor, best: Tensor, found: Tensor) -> tuple[Tensor, Tensor]:
    less = cost < best
    return torch.where(less, cost, best), torch.where(less.unsqueeze(1), step, found)


def _neighbour(motion: Tensor, down: int, right: int) -> Tensor:
    """Each block's neighbour; at the edges the block itself, which was tried already."""
    rows, columns = motion.shape[2:]
    row = (torch.arange(rows, device=motion.device) + down).clamp(0, rows - 1)
    column = (torch.arange(columns, device=motion.device) + right).clamp(0, columns - 1)
    return motion[:, :, row][:, :, :, column]


def _around(costs: Tensor) -> Tensor:
    """Sums over ``NEARBY`` x ``NEARBY`` blocks, of those that there are."""
    return F.avg_pool2d(costs.double(), NEARBY, 1, NEARBY // 2, divisor_override=1).round().long()
