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
    removed = clean.astype(np.float32) - noisy.astype(np.float32)
    fine = plane.astype(np.float32) - _resize(noisy.astype(np.float32), plane.shape)
    # The mean of n samples keeps 1/n of white noise; the other (n - 1) parts are in the fine rest.
    parts = max(plane.size / noisy.size - 1, 0)
    nearby = cv2.boxFilter(removed**2, -1, _WINDOW).astype(np.float32, copy=False)
    noise = parts * _resize(nearby, plane.shape)
    energy = cv2.boxFilter(fine**2, -1, _WINDOW)
    kept = np.clip(1 - noise / np.maximum(energy, np.float32(1e-3)), 0, 1)
    total = _resize(clean.astype(np.float32), plane.shape) + kept * fine
    return cast(Plane, np.clip(np.rint(total), 0, (1 << bits) - 1).astype(plane.dtype))


def _resize(plane: Samples, size: tuple[int, ...]) -> Samples:
    """Area mean when both sides shrink, bilinear otherwise; half-pixel centres."""
    if plane.shape == size:
        return plane
    cv2 = opencv()
    shrinks = size[0] <= plane.shape[0] and size[1] <= plane.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cast(Samples, cv2.resize(plane, (size[1], size[0]), interpolation=method))
