"""Captures for tests, and waits with an end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction

from helpers.live import shot

from malle_rt.frame import Packet, VideoInfo
from malle_rt.live.capture.device import CaptureRequest
from malle_rt.live.capture.source import LiveSource
from malle_rt.live.capture.stream import StreamCapture
from malle_rt.live.capture.stream_input import Timeouts
from malle_rt.live.frame import LiveFrame
from malle_rt.media.synthetic import read_index
from malle_rt.media.template import Template


class HangingCapture:
    """Gives some shots and then never comes back, as a driver can, until the test lets it go.

    Attributes:
        let_go: set by the test.
        closed: whether ``close`` was called.
    """

    description = "camera 7, 64x48 at 30 fps"
    template = Template(info=VideoInfo(64, 48, "yuv420p", Fraction(1, 30)))

    def __init__(self, shots: int = 3) -> None:
        self.let_go = threading.Event()
        self.closed = False
        self._shots = shots

    def __iter__(self) -> Iterator[LiveFrame | Packet]:
        for index in range(self._shots):
            yield shot(index)
        assert self.let_go.wait(30), "the test did not let its capture go"

    def close(self) -> None:
        self.closed = True


class Viewer:
    """Takes everything of a source in a thread of its own, as a pipeline would; a context manager.

    Attributes:
        seen: (connection, index in the picture, seconds, instant of arrival) of each shot.
        sizes: sizes of the pictures, by connection.
        sound: packets that came.
    """

    def __init__(self, source: LiveSource) -> None:
        self.source = source
        self.seen: list[tuple[int, int, Fraction, float]] = []
        self.sizes: dict[int, set[tuple[int, int]]] = {}
        self.sound: list[Packet] = []
        self.done = threading.Event()
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._watch, name="viewer")

    def __enter__(self) -> Viewer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.source.interrupt()
        self._thread.join(5)
        self.source.close()

    def _watch(self) -> None:
        try:
            for item in self.source.channel:
                if isinstance(item, LiveFrame):
                    seen = (item.connection, read_index(item), item.seconds, time.monotonic())
                    self.seen.append(seen)
                    self.sizes.setdefault(item.connection, set()).add((item.width, item.height))
                else:
                    self.sound.append(item)
            self.error = self.source.failure
        except Exception as exc:
            self.error = exc
        finally:
            self.done.set()


def live(device: str, *, loop: bool = False, opening: float = 10.0) -> LiveSource:
    """A source of a stream or file."""
    request = CaptureRequest(device=device, loop=loop)
    return LiveSource(lambda: StreamCapture(request, timeouts=Timeouts(opening=opening)))


def seconds_until(condition: Callable[[], object], within: float) -> float:
    """Wait until the condition holds; how long that took. Fails when it does not within so many seconds."""
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < within, f"not within {within} s"
        time.sleep(0.01)
    return time.monotonic() - begin


def reader_threads() -> list[str]:
    """Names of the readers that are alive."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("malle-reader-")]
