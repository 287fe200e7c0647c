"""From any planar layout to the 4:2:0 planes the network takes, and back again.

Chroma of 4:4:4 or 4:2:2 is never replaced by something smaller. What 4:2:0 can show of it comes from the network;
the finer rest is kept as far as it stands out of the noise, which is known from what the network removed nearby
(a local Wiener filter: Lee, "Digital image enhancement and noise filtering by use of local statistics", 1980).
"""

from __future__ import annotations

from typing import cast

import numpy as np
import numpy.typing as npt

from malle_rt.frame import PixelLayout, Plane
from malle_rt.opencv import opencv

__all__ = ["from_420", "to_420"]

Planes420 = tuple[Plane, Plane, Plane]
Samples = Plane | npt.NDArray[np.float32]

_WINDOW = (7, 7)  # samples over which energies are averaged


def to_420(planes: tuple[Plane, ...], layout: PixelLayout) -> Planes420:
    """Y, U, V with chroma at half size, rounded up; gray gets neutral chroma. Samples keep their dtype."""
    luma = planes[0]
    small = (-(-luma.shape[0] // 2), -(-luma.shape[1] // 2))
    if layout.chroma is None:
        neutral = np.full(small, 1 << (layout.bits - 1), luma.dtype)
        return luma, neutral, neutral
    if layout.chroma == (1, 1):
        return luma, planes[1], planes[2]
    return luma, cast(Plane, _resize(planes[1], small)), cast(Plane, _resize(planes[2], small))


def from_420(
    clean: Planes420, noisy: Planes420, planes: tuple[Plane, ...], layout: PixelLayout
) -> tuple[Plane, ...]:
    """Denoised planes in the layout of ``planes``.

    Args:
        clean: 4:2:0 planes after the network.
        noisy: the same before it.
        planes: the frame's own planes, before.
        layout: their layout.
    """
    if layout.chroma is None:
        return (clean[0],)
    if layout.chroma == (1, 1):
        return clean
    return clean[0], *(_refined(planes[i], clean[i], noisy[i], layout.bits) for i in (1, 2))


def _refined(plane: Plane, clean: Plane, noisy: Plane, bits: int) -> Plane:
    """The clean plane at the size of ``plane``, with the detail of ``plane`` that 4:2:0 cannot show."""
    cv2 = opencv()
    # Large arrays are few and used again: fresh memory from the system costs more than the arithmetic.
    fine = _floats(noisy, plane.shape)
    np.subtract(plane, fine, out=fine)
    kept = np.square(fine)
    energy = cv2.boxFilter(kept, -1, _WINDOW)
    cv2.max(energy, 1e-3, dst=energy)  # a third of what numpy takes
    removed = clean.astype(np.float32) - noisy.astype(np.float32)
    nearby = cv2.boxFilter(np.square(removed), -1, _WINDOW)
    # The mean of n samples keeps 1/n of white noise; the other (n - 1) parts are in the fine rest.
    noise = _floats(nearby, plane.shape, out=kept)
    noise *= np.float32(max(plane.size / noisy.size - 1, 0))
    noise /= energy
    np.subtract(1, noise, out=kept)
    np.clip(kept, 0, 1, out=kept)
    kept *= fine
    total = _floats(clean, plane.shape, out=energy)
    total += kept
    np.clip(np.rint(total, out=total), 0, (1 << bits) - 1, out=total)
    return cast(Plane, total.astype(plane.dtype))


def _floats(
    plane: Samples, size: tuple[int, ...], out: npt.NDArray[np.float32] | None = None
) -> npt.NDArray[np.float32]:
    """A copy at another size, in ``out`` where it is given and the size is another."""
    return cast("npt.NDArray[np.float32]", _resize(plane.astype(np.float32), size, out))


def _resize(plane: Samples, size: tuple[int, ...], out: npt.NDArray[np.float32] | None = None) -> Samples:
    """Area mean when both sides shrink, bilinear otherwise; half-pixel centres."""
    if plane.shape == size:
        return plane
    cv2 = opencv()
    shrinks = size[0] <= plane.shape[0] and size[1] <= plane.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cast(Samples, cv2.resize(plane, (size[1], size[0]), dst=out, interpolation=method))
