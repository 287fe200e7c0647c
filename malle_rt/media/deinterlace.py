"""Interlaced pictures into progressive ones, by FFmpeg's ``bwdif``; progressive ones pass untouched."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Literal, cast

import av
from av.filter import Graph

from malle_rt.errors import ConfigError
from malle_rt.frame import VideoInfo
from malle_rt.media.compat import exact
from malle_rt.media.hardware import in_memory
from malle_rt.media.interlacing import one_filter
from malle_rt.media.pixel_formats import is_rgb, nearest_planar, plain_name
from malle_rt.media.side_data import has_captions

__all__ = ["DEINTERLACE", "Deinterlace", "Deinterlacer"]

Deinterlace = Literal["field", "frame"]
DEINTERLACE: tuple[Deinterlace, ...] = ("field", "frame")


class Deinterlacer:
    """Takes pictures as a decoder gives them, one behind: the next one is looked at, too. Used by one thread.

    Args:
        rate: "field" makes a picture of each field (50 or 60 a second), "frame" one of each frame (25 or 30).

    Raises:
        ConfigError: another rate.
    """

    def __init__(self, rate: Deinterlace) -> None:
        if rate not in DEINTERLACE:
            raise ConfigError(f"deinterlace must be one of {', '.join(DEINTERLACE)}, got {rate!r}")
        self._per_field = rate == "field"
        self._graph: Graph | None = None
        self._key: tuple[int, int, str, Fraction] | None = None
        # Of pictures that went in and have not come out: pts, duration, whether two come out of it.
        self._inside: deque[tuple[int, int, bool]] = deque()
        self._second_of: tuple[int, int] | None = None

    def pictures(self, picture: av.VideoFrame) -> Iterator[av.VideoFrame]:
        """Feed one picture, whose pts is there and right; gives those that are finished, in order.

        Where there may be two for one, their time_base is half of the picture's, so that every instant is exact: the
        second field comes half the picture's duration later (half the way to the next picture where that is unknown
        or nearer).
        """
        picture = _planar(in_memory(picture))
        unit = exact(picture.time_base or 1)
        key = (picture.width, picture.height, picture.format.name, unit)
        if self._graph is None or key != self._key:
            yield from self.drain()
            mode = "send_field" if self._per_field else "send_frame"
            self._graph = one_filter(picture, "bwdif", f"mode={mode}:deint=interlaced", unit)
            self._key = key
        twice = self._per_field and bool(picture.interlaced_frame)
        self._inside.append((picture.pts or 0, picture.duration, twice))
        self._graph.push(picture)
        yield from self._finished(self._graph)

    def drain(self) -> Iterator[av.VideoFrame]:
        """What is still inside; the next picture begins anew."""
        graph, self._graph = self._graph, None
        if graph is not None:
            graph.push(None)
            yield from self._finished(graph)
        self._inside.clear()
        self._second_of = None

    def described(self, info: VideoInfo, *, interlaced: bool) -> VideoInfo:
        """The track as it becomes, where its first picture is interlaced or not."""
        if not self._per_field:
            return info
        info = replace(info, time_base=info.time_base / 2)
        if not interlaced:
            return info
        return replace(
            info,
            frame_rate=None if info.frame_rate is None else info.frame_rate * 2,
            frames=None if info.frames is None else info.frames * 2,
        )

    def _finished(self, graph: Graph) -> Iterator[av.VideoFrame]:
        while True:
            try:
                picture = cast(av.VideoFrame, graph.pull())
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            yield self._timed(picture)

    def _timed(self, picture: av.VideoFrame) -> av.VideoFrame:
        """The picture with its instant; bwdif counts in halves of the time_base it was given."""
        assert self._key is not None
        unit = self._key[3]
        if self._second_of is not None:
            pts, duration = self._second_of
            self._second_of = None
            picture = _without_captions(picture)
            # bwdif's own pts is half the way to the next picture.
            half = duration if picture.pts is None else picture.pts - 2 * pts
            offset = min(half, duration) if duration else half
            picture.pts = 2 * pts + offset
            picture.duration = offset
        else:
            pts, duration, twice = self._inside.popleft()
            scale = 2 if self._per_field else 1
            picture.pts = pts * scale
            picture.duration = duration if twice else duration * scale
            if twice:
                self._second_of = (pts, duration)
        picture.time_base = unit / 2 if self._per_field else unit
        return picture


def _without_captions(picture: av.VideoFrame) -> av.VideoFrame:
    """The second picture of a frame: bwdif gives the frame's captions to both, and every letter would come twice."""
    if not has_captions(picture):
        return picture
    graph = one_filter(picture, "sidedata", "mode=delete:type=A53_CC")
    graph.push(picture)
    return cast(av.VideoFrame, graph.pull())


def _planar(picture: av.VideoFrame) -> av.VideoFrame:
    """The picture in a format that bwdif takes as it is."""
    target = nearest_planar(picture.format.name)
    name = picture.format.name
    if target == plain_name(name) or name.startswith("yuva") or is_rgb(name):
        return picture
    planar = picture.reformat(format=target)
    planar.pts, planar.time_base, planar.duration = picture.pts, picture.time_base, picture.duration
    return planar
