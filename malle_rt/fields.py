"""Interlaced frames and their two fields: each field is a picture of its own, of another instant than the other one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast

import numpy as np

from malle_rt.frame import Frame, Plane, pixel_layout

__all__ = ["by_field", "split_fields", "weave_fields"]


def split_fields(frame: Frame) -> tuple[Frame, Frame]:
    """The top field (lines 0, 2, 4 ...) and the bottom field as progressive frames of half the height.

    Chroma lines belong to fields as luma lines do, in 4:2:0 too. Where the bottom field has a chroma line less than
    a picture of its height needs (486 lines in 4:2:0), its last one is repeated; ``weave_fields`` drops that again.

    Args:
        frame: of two lines or more. Its planes are viewed, not copied, and come to host memory if they lie on a GPU.
    """
    layout, planes = pixel_layout(frame.pix_fmt), tuple(frame.planes)
    halves = []
    for parity in (0, 1):
        rows = (frame.height + 1 - parity) // 2
        shapes = layout.plane_shapes(frame.width, rows)
        full = tuple(_lines(plane, parity, shape[0]) for plane, shape in zip(planes, shapes, strict=True))
        halves.append(replace(frame, planes=full, fields=None))
    return halves[0], halves[1]


def weave_fields(frame: Frame, top: Sequence[Plane], bottom: Sequence[Plane]) -> Frame:
    """``frame`` with new planes, whose even lines are those of ``top`` and whose odd ones are those of ``bottom``.

    Args:
        frame: gives everything but the pixels.
        top: planes as ``split_fields`` has them.
        bottom: likewise.
    """
    layout = pixel_layout(frame.pix_fmt)
    shapes = layout.plane_shapes(top[0].shape[1], top[0].shape[0] + bottom[0].shape[0])
    woven = []
    for upper, lower, shape in zip(top, bottom, shapes, strict=True):
        plane = np.empty(shape, layout.dtype)
        plane[0::2] = upper
        plane[1::2] = lower[: shape[0] // 2]
        woven.append(cast(Plane, plane))
    return replace(frame, planes=tuple(woven))


def by_field(frame: Frame, change: Callable[[Frame], Frame]) -> Frame:
    """What ``change`` makes of each field, woven again; of the frame itself where it is progressive.

    Args:
        frame: of any kind.
        change: may give another size or pix_fmt, the same for both fields.
    """
    if frame.fields is None or frame.height < 2:
        return change(frame)
    top, bottom = (change(half) for half in split_fields(frame))
    return weave_fields(replace(frame, pix_fmt=top.pix_fmt), top.planes, bottom.planes)


def _lines(plane: Plane, parity: int, rows: int) -> Plane:
    """Every other line from ``parity`` on; one more than there are repeats the last."""
    lines = plane[parity::2]
    if lines.shape[0] == rows:
        return lines
    last = lines[-1:] if lines.shape[0] else plane[-1:]
    return cast(Plane, np.concatenate((lines, last)))
