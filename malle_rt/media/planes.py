"""Between a decoder's frame and our planes: numpy views in, copies out."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from malle_rt.frame import Frame, Plane, pixel_layout
from malle_rt.media.pixel_formats import plain_name

__all__ = [
    "alpha_of",
    "fill_planes",
    "new_video_frame",
    "pad_to_size",
    "padded",
    "reformatted",
    "rescaled",
    "view_planes",
    "with_alpha",
]

_SMALL = 1280 * 720  # pixels up to which threads cost more than they gain
_MOST_SCALERS = 4  # of a thread; each has threads of its own


class _Kept(threading.local):
    """The scalers of one thread, by the formats they change from and to."""

    def __init__(self) -> None:
        self.scalers: dict[tuple[str, str], VideoReformatter] = {}


_kept = _Kept()


def reformatted(picture: av.VideoFrame, target: str, **how: Any) -> av.VideoFrame:
    """The picture in pix_fmt ``target``, as its ``reformat`` gives it with the other arguments.

    The scaler is kept for the thread's next picture: to set one up takes longer than to change a small picture.
    """
    formats = picture.format.name, target
    if formats not in _kept.scalers and len(_kept.scalers) >= _MOST_SCALERS:
        del _kept.scalers[next(iter(_kept.scalers))]
    threads = 1 if picture.width * picture.height <= _SMALL else 0  # 0: as many as there are cores
    scaler = _kept.scalers.setdefault(formats, VideoReformatter())
    return scaler.reformat(picture, format=target, threads=threads, **how)


def view_planes(picture: av.VideoFrame) -> tuple[Plane, ...]:
    """Y, U, V of a decoded frame as strided views, without a copy; each keeps the decoder's buffer alive.

    Args:
        picture: in a format that ``pixel_layout`` knows.
    """
    layout = pixel_layout(picture.format.name)
    shapes = layout.plane_shapes(picture.width, picture.height)
    return tuple(_rows(picture, index, shape, layout.dtype) for index, shape in enumerate(shapes))


def new_video_frame(planes: Sequence[Plane], pix_fmt: str) -> av.VideoFrame:
    """A new frame for the encoder with the pixels of ``planes`` copied into it."""
    height, width = planes[0].shape
    picture = av.VideoFrame(width, height, pix_fmt)
    fill_planes(picture, planes)
    return picture


def fill_planes(picture: av.VideoFrame, planes: Sequence[Plane]) -> None:
    """Copy ``planes`` into a frame of the same size and format that nobody else reads."""
    for target, plane in zip(view_planes(picture), planes, strict=True):
        np.copyto(target, plane)


def alpha_of(picture: av.VideoFrame, size: tuple[int, int], pix_fmt: str) -> Plane:
    """The transparency of a decoder's frame in a size (width, height), with the depth of ``pix_fmt`` ("yuva...")."""
    if (picture.width, picture.height, picture.format.name) != (*size, pix_fmt):
        picture = picture.reformat(width=size[0], height=size[1], format=pix_fmt)
    return _alpha(picture)


def with_alpha(picture: av.VideoFrame, alpha: Plane, pix_fmt: str) -> av.VideoFrame:
    """A planar frame with its transparency, in ``pix_fmt`` ("yuva...")."""
    transparent = picture.reformat(format=pix_fmt)
    np.copyto(_alpha(transparent), alpha)
    return transparent


def _alpha(picture: av.VideoFrame) -> Plane:
    dtype = np.uint16 if picture.format.components[3].bits > 8 else np.uint8
    return _rows(picture, 3, (picture.height, picture.width), dtype)


def pad_to_size(planes: Sequence[Plane], pix_fmt: str, size: tuple[int, int]) -> tuple[Plane, ...]:
    """Planes grown to ``size`` (width, height) by repeating the last column and row; chroma sizes follow."""
    shapes = pixel_layout(pix_fmt).plane_shapes(*size)
    return tuple(padded(plane, shape) for plane, shape in zip(planes, shapes, strict=True))


def padded(plane: Plane, shape: tuple[int, int]) -> Plane:
    """A plane grown to (rows, columns) by repeating its last column and row."""
    rows, columns = shape
    return cast(
        Plane, np.pad(plane, ((0, rows - plane.shape[0]), (0, columns - plane.shape[1])), mode="edge")
    )


def rescaled(frame: Frame, size: tuple[int, int], pix_fmt: str) -> Frame:
    """The frame in another size (width, height) and format, by FFmpeg's scaler."""
    picture = new_video_frame(frame.planes, plain_name(frame.pix_fmt))
    scaled = reformatted(picture, pix_fmt, width=size[0], height=size[1])
    return replace(frame, planes=view_planes(scaled), pix_fmt=pix_fmt)


def _rows(
    picture: av.VideoFrame, index: int, shape: tuple[int, int], dtype: type[np.uint8] | type[np.uint16]
) -> Plane:
    """One plane as (rows, columns); FFmpeg pads each line to ``line_size`` bytes."""
    plane = picture.planes[index]
    samples = cast(Plane, np.frombuffer(memoryview(plane), dtype))
    pitch = plane.line_size // np.dtype(dtype).itemsize
    rows, columns = shape
    return samples[: rows * pitch].reshape(rows, pitch)[:, :columns]
