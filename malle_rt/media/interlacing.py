"""Field order of decoded pictures, and on pictures for an encoder.

PyAV tells whether a picture is interlaced, and neither tells nor sets which field comes first. FFmpeg's filters
``select`` and ``setfield`` do; they hand on references, no pixels.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Literal, cast

import av
from av.filter import Graph

from malle_rt.media.compat import exact

__all__ = ["FieldMarker", "FieldOrder", "FieldReader", "one_filter"]

FieldOrder = Literal["top", "bottom"]

_Key = tuple[int, int, str]


class FieldReader:
    """Tells the field order of pictures, as they come; used by one thread."""

    def __init__(self) -> None:
        self._graph: Graph | None = None
        self._key: _Key | None = None

    def order(self, picture: av.VideoFrame) -> FieldOrder | None:
        """Which field of the picture, in host memory, comes first; None where it is progressive."""
        if not picture.interlaced_frame:
            return None
        if self._graph is None or self._key != _key(picture):
            self._key = _key(picture)
            self._graph = one_filter(picture, "select", r"expr=eq(interlace_type\,TOPFIRST)")
        self._graph.push(picture)
        try:
            self._graph.pull()
        except av.error.BlockingIOError:
            return "bottom"
        return "top"


class FieldMarker:
    """Writes the field order on pictures; used by one thread."""

    def __init__(self) -> None:
        self._graphs: dict[FieldOrder, tuple[_Key, Graph]] = {}

    def marked(self, picture: av.VideoFrame, order: FieldOrder) -> av.VideoFrame:
        """The same pixels as an interlaced picture. Its pts, time_base and duration are to be set again."""
        key, graph = self._graphs.get(order, (None, None))
        if graph is None or key != _key(picture):
            graph = one_filter(picture, "setfield", "mode=tff" if order == "top" else "mode=bff")
            self._graphs[order] = _key(picture), graph
        graph.push(picture)
        return cast(av.VideoFrame, graph.pull())


def one_filter(picture: av.VideoFrame, name: str, options: str, time_base: Fraction | None = None) -> Graph:
    """A graph of one filter for pictures like this one."""
    graph = Graph()
    unit = time_base or picture.time_base or Fraction(1, 25)
    source = graph.add_buffer(
        width=picture.width, height=picture.height, format=picture.format, time_base=exact(unit)
    )
    step, sink = graph.add(name, options), graph.add("buffersink")
    source.link_to(step)
    step.link_to(sink)
    graph.configure()
    return graph


def _key(picture: av.VideoFrame) -> _Key:
    return picture.width, picture.height, picture.format.name
