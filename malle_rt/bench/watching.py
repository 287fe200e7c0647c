"""A backend, a source and a sink that note when they work."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, cast

from malle_rt.backends.base import Backend, BackendInfo, BlockingSession, FrameShape, Session
from malle_rt.bench.spans import Spans
from malle_rt.frame import Frame, Packet, VideoInfo
from malle_rt.protocols import Denoiser, Sink, Source

__all__ = [
    "WatchedBackend",
    "WatchedDenoiser",
    "WatchedSink",
    "WatchedSource",
    "device_milliseconds",
]


class WatchedBackend:
    """Another backend, whose latest session tells when its network ran."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._session: Session | None = None

    @property
    def network_span(self) -> tuple[float, float] | None:
        """See ``BlockingSession``; None for sessions that do not wait for their network."""
        return self._session.network_span if isinstance(self._session, BlockingSession) else None

    @property
    def info(self) -> BackendInfo:
        """What is running."""
        return self._backend.info

    def prepare(self, shape: FrameShape) -> Session:
        """A session of the other backend."""
        self._session = self._backend.prepare(shape)
        return self._session

    def close(self) -> None:
        """Close the other backend."""
        self._backend.close()


class WatchedDenoiser:
    """Another denoiser, not closed with the pipeline, so that one that is warm serves several.

    Args:
        denoiser: whose work is noted.
        backend: what it runs on.
        spans: where.
    """

    def __init__(self, denoiser: Denoiser, backend: WatchedBackend, spans: Spans) -> None:
        self._denoiser, self._backend, self._spans = denoiser, backend, spans

    @property
    def ahead(self) -> int:
        """See ``Denoiser``."""
        return self._denoiser.ahead

    def start(self, frame: Frame) -> Callable[[], Frame]:
        """Begin one frame."""
        begin = time.perf_counter()
        finish = self._denoiser.start(frame)
        end = time.perf_counter()
        network = self._backend.network_span
        # The result of a blocking session only needs unpacking; any other is waited for while the device works.
        rest = "unpack" if network else "network"
        if network:
            self._spans.add("pack", begin, network[0])
            self._spans.add("network", *network)
            self._spans.add("unpack", network[1], end)
        else:
            self._spans.add("pack", begin, end)

        def finished() -> Frame:
            with self._spans.working(rest):
                return finish()

        return finished

    def close(self) -> None:
        """Nothing: who made the denoiser closes it."""


class WatchedSource:
    """The first frames of another source; packets of other tracks are left out.

    Args:
        opened: opens the source; that is noted too.
        frames: how many, at most.
        spans: where.
    """

    def __init__(self, opened: Callable[[], Source], frames: int, spans: Spans) -> None:
        with spans.working("decode"):
            self._source = opened()
        self._frames, self._spans = frames, spans

    @property
    def info(self) -> VideoInfo:
        """See ``Source``."""
        return self._source.info

    def __iter__(self) -> Iterator[Frame]:
        frames = (item for item in self._source if isinstance(item, Frame))
        limited = islice(frames, self._frames)
        while True:
            with self._spans.working("decode"):
                frame = next(limited, None)
            if frame is None:
                return
            yield frame

    def interrupt(self) -> None:
        """See ``Source``."""
        self._source.interrupt()

    def close(self) -> None:
        """See ``Source``."""
        self._source.close()


class WatchedSink:
    """Another sink; opening and finishing it are noted too."""

    def __init__(self, opened: Callable[[], Sink], spans: Spans) -> None:
        with spans.working("encode"):
            self._sink = opened()
        self._spans = spans

    def write(self, item: Frame | Packet) -> None:
        """See ``Sink``."""
        with self._spans.working("encode"):
            self._sink.write(item)

    def finish(self) -> None:
        """See ``Sink``."""
        with self._spans.working("encode"):
            self._sink.finish()

    def abort(self) -> None:
        """See ``Sink``."""
        self._sink.abort()


def device_milliseconds(session: Session, planes: tuple[Any, ...], sigma: float, repeats: int) -> list[float]:
    """Time of the network by the device's own clock; empty for sessions that have none."""
    timed = cast("Callable[..., float] | None", getattr(session, "compute_milliseconds", None))
    return [] if timed is None else [timed(planes, sigma) for _ in range(repeats)]
