"""Where each block of a frame was in the frame before, in plain torch: the definition of "right" for the C++ kernel.

A hierarchical block search on luma codes (Bierling, "Displacement estimation by hierarchical blockmatching", SPIE
1988). The luma is halved three times; at an eighth of its size every displacement of up to 4 pixels is tried, 32 of
the luma; each finer level tries twice what the coarser one found, and one pixel around it. No displacement is a
candidate at every level and wins ties: what stands still, stays. What is left, less than a pixel, follows from the
past's gradients by least squares (Lucas and Kanade, "An iterative image registration technique", IJCAI 1981): a camera
held by hand moves by tenths of a pixel, and a past that is off by one costs more than its average over time gains.
All of it is integer arithmetic, so that every implementation finds the same.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["BETTER", "BLOCK", "LEVELS", "WHOLE", "align", "find_motion", "move"]

BLOCK = 8  # side of a block, in luma pixels
LEVELS = 4  # sizes of the luma: 1, 1/2, 1/4, 1/8
REACH = 4  # of the search at the coarsest level
WINDOWS = (16, 8, 8, 5)  # sides of what is compared for a block, in each level's own pixels
NEARBY = 5  # blocks, across and down, that decide together whether the one in their middle moves
BETTER = 20  # they move where they fit better than standing still by more than one part in so many
WHOLE = 8  # of a pixel, which motion is counted in, are a pixel
FARTHEST = 5  # eighths that are left after the search
# Parts of a pixel are gone where that explains this many times as much as one pixel's mean share of the difference:
# what noise alone explains is twice its share, and seven times in one of a thousand blocks.
SURE = 20
_DAMPING = 4  # of the least squares: the square of a gradient of one code a pixel, doubled
_MARGINS = (48, 24, 16, 8)  # pixels that repeat the edges of each level


def find_motion(now: Tensor, before: Tensor, *, whole: bool = False) -> Tensor:
    """How far from each block its past is to be found.

    Args:
        now: (N, 1, H, W) uint8 luma codes, 8 bits; H and W multiples of ``BLOCK``.
        before: the frame before, likewise.
        whole: only whole pixels, which leave the noise of what is moved as it is.

    Returns:
        (N, 2, H / 8, W / 8) int16: eighths of a pixel down and to the right, each less than 40 pixels either way.
    """
    return torch.ops.malle.find_motion(now, before, whole)  # type: ignore[no-any-return]


@torch.library.custom_op("malle::find_motion", mutates_args=())
def _find_motion(now: Tensor, before: Tensor, whole: bool) -> Tensor:
    motion = _search(now, before)
    parts = 0 if whole else _parts(now, before, motion)
    return (WHOLE * motion + parts).short()


def _search(now: Tensor, before: Tensor) -> Tensor:
    """In whole pixels, (N, 2, H / 8, W / 8) int64."""
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
    gain, standing = (_around(each.unsqueeze(1)) for each in (standing - best, standing))
    return found * (gain * BETTER > standing)


def _parts(now: Tensor, before: Tensor, motion: Tensor) -> Tensor:
    """The eighths of a pixel that are left after whole ones, (N, 2, H / 8, W / 8) int64."""
    past = _patches(before.long(), motion, BLOCK, before=1, after=1)
    ours = _patches(now.long(), torch.zeros_like(motion), BLOCK)
    # Gradients are twice what they are a pixel.
    right = past[..., 1:-1, 2:] - past[..., 1:-1, :-2]
    down = past[..., 2:, 1:-1] - past[..., :-2, 1:-1]
    apart = ours - past[..., 1:-1, 1:-1]
    products = (down * down, right * right, down * right, down * apart, right * apart, apart * apart)
    sums = [each.sum((-2, -1)) for each in (*products, torch.ones_like(apart))]
    downs, rights, both, down_apart, right_apart, aparts, count = _alike(torch.cat(sums, 1), motion)
    stiff_down, stiff_right = downs + _DAMPING * count, rights + _DAMPING * count
    determinant = stiff_down * stiff_right - both * both
    solved = (stiff_right * down_apart - both * right_apart, stiff_down * right_apart - both * down_apart)
    parts_down, parts_right = (
        (2 * WHOLE * each + determinant)
        .div(2 * determinant, rounding_mode="floor")
        .clamp(-FARTHEST, FARTHEST)
        for each in solved
    )
    linear = 2 * WHOLE * (parts_down * down_apart + parts_right * right_apart)
    square = downs * parts_down**2 + 2 * both * parts_down * parts_right + rights * parts_right**2
    sure = (linear - square) * count > SURE * WHOLE**2 * aparts
    return torch.stack((parts_down, parts_right), 1) * sure.unsqueeze(1)


def _alike(sums: Tensor, motion: Tensor) -> tuple[Tensor, ...]:
    """Sums over the ``NEARBY`` x ``NEARBY`` blocks whose motion is a block's own, or next to it.

    Args:
        sums: (N, 7, rows, columns) of each block: downs, rights, both, down_apart, right_apart, aparts, count.
        motion: in whole pixels.

    Returns:
        The seven, (N, rows, columns), as if all had moved like the block; those with ``apart`` doubled, and its square
        four times.
    """
    reach = NEARBY // 2
    rows, columns = motion.shape[2:]
    padded, motions = (F.pad(each, (reach,) * 4) for each in (sums, motion))
    whole = torch.zeros_like(sums)
    for down in range(NEARBY):
        for right in range(NEARBY):
            there = (..., slice(down, down + rows), slice(right, right + columns))
            near = padded[there]
            more_down, more_right = (motions[there] - motion).split(1, 1)
            alike = (more_down.abs() <= 1) & (more_right.abs() <= 1)
            downs, rights, both, down_apart, right_apart, aparts, count = near.split(1, 1)
            aparts = 4 * (aparts + more_down * down_apart + more_right * right_apart)
            aparts = (
                aparts + downs * more_down**2 + 2 * both * more_down * more_right + rights * more_right**2
            )
            down_apart = 2 * down_apart + downs * more_down + both * more_right
            right_apart = 2 * right_apart + both * more_down + rights * more_right
            whole += alike * torch.cat((downs, rights, both, down_apart, right_apart, aparts, count), 1)
    return whole.unbind(1)


# What reads a plane between its pixels: sixteenths of a pixel by taps for the pixels at -2 to 3, each over 256;
# Lanczos' kernel with three lobes (Duchon, "Lanczos filtering in one and two dimensions",
# Journal of Applied Meteorology, 1979), rounded so that their sum is one.
_TAPS = (
    (0, 0, 256, 0, 0, 0),
    (3, -12, 254, 14, -3, 0),
    (5, -22, 249, 31, -8, 1),
    (7, -29, 240, 49, -12, 1),
    (8, -34, 228, 69, -17, 2),
    (8, -37, 214, 91, -23, 3),
    (8, -38, 197, 112, -27, 4),
    (7, -37, 177, 135, -31, 5),
    (6, -35, 157, 157, -35, 6),
)
_SIXTEENTHS = 16
_TAPS_BEFORE, _TAPS_AFTER = 2, 3


def move(plane: Tensor, motion: Tensor, block: int = BLOCK, *, nearest: bool = False) -> Tensor:
    """Read each block of a plane from where the motion points; outside of the picture its edges go on.

    Args:
        plane: (N, C, H, W), of floats unless ``nearest``.
        motion: of ``find_motion``, (N, 2, H / block, W / block).
        block: side of a block in this plane: 8 for the luma, 4 for planes of half its size, whose motion is half as
            far.
        nearest: read the nearest pixel, halves rounded up; else between pixels, by six taps each way.

    Returns:
        Like ``plane``; a little beyond its range where it was read between pixels.
    """
    unit = WHOLE * BLOCK // block
    steps = motion.long()
    if nearest:
        return _joined(_patches(plane, (steps + unit // 2).div(unit, rounding_mode="floor"), block))
    whole = steps.div(unit, rounding_mode="floor")
    parts = (steps - unit * whole) * (_SIXTEENTHS // unit)
    patches = _patches(plane, whole, block, before=_TAPS_BEFORE, after=_TAPS_AFTER)
    down, right = _interpolation(block, plane)[parts].unsqueeze(2).unbind(1)
    return _joined(down @ patches @ right.transpose(-2, -1))


def _interpolation(block: int, like: Tensor) -> Tensor:
    """What makes ``block`` pixels of the ``block`` + 5 around them: (16, block, block + 5), sixteenths of a pixel."""
    rows = [*_TAPS, *(row[::-1] for row in reversed(_TAPS[1:-1]))]
    taps = torch.tensor(rows, dtype=like.dtype, device=like.device) / 256
    matrices = like.new_zeros(len(rows), block, block + taps.shape[1] - 1)
    for pixel in range(block):
        matrices[:, pixel, pixel : pixel + taps.shape[1]] = taps
    return matrices


def _patches(plane: Tensor, motion: Tensor, block: int, *, before: int = 0, after: int = 0) -> Tensor:
    """Each block where the motion, in whole pixels, points, and pixels around it: (N, C, rows, columns, side, side)."""
    n, channels, height, width = plane.shape
    inside = torch.arange(-before, block + after, device=plane.device)
    corners = (torch.arange(0, side, block, device=plane.device) for side in (height, width))
    rows, columns = (corner[:, None] + inside for corner in corners)
    down = (motion[:, 0, :, :, None] + rows[:, None]).clamp(0, height - 1)
    right = (motion[:, 1, :, :, None] + columns[None]).clamp(0, width - 1)
    places = (
        (down.unsqueeze(-1) * width + right.unsqueeze(-2)).flatten(1).unsqueeze(1).expand(-1, channels, -1)
    )
    side = block + before + after
    return plane.flatten(2).gather(2, places).view(n, channels, *motion.shape[2:], side, side)


def _joined(blocks: Tensor) -> Tensor:
    """Blocks (N, C, rows, columns, block, block) side by side."""
    n, channels, rows, columns, block, _ = blocks.shape
    return blocks.permute(0, 1, 2, 4, 3, 5).reshape(n, channels, rows * block, columns * block)


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
    hidden = move(hidden_before, motion, half, nearest=True)
    return move(y_before, motion), move(uv_before, motion, half), hidden


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
