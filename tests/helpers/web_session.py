"""A live session for the web page's tests: real controls and shots, without camera and network."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from malle_rt.frame import ColorTags, Frame
from malle_rt.live.control import Controls
from malle_rt.live.frame import Latest, LiveFrame
from malle_rt.live.statistics import Statistics
from malle_rt.media.synthetic import SyntheticSource
from malle_rt.pipeline import Latency

BASE = Statistics(
    source="camera 0 (test), 320x192 at 30 fps",
    state="live",
    message=None,
    backend="openvino rt-s int8",
    automatic=True,
    estimated=12.5,
    used=12.0,
    mix=1.0,
    captured_fps=30.0,
    shown_fps=29.5,
    frames_in=310,
    frames_out=300,
    dropped=8,
    late=2,
    latency=Latency(31.0, 44.0, 60.0),
)


class TestDesk:
    """A ``SessionControl`` that notes what it is asked for.

    Attributes:
        base: statistics that it gives, but for tuning and recording.
        snapshots, displayed: shots it was given.
        recordings: files that it says have been recorded.
    """

    __test__ = False

    def __init__(self) -> None:
        self.controls = Controls()
        self.controls.note_used(12.0)
        self.latest = Latest()
        self.running = True
        self.base = BASE
        self.snapshots: list[LiveFrame] = []
        self.displayed: list[LiveFrame] = []
        self.recordings: list[Path] = []
        self._recording_since: float | None = None

    def statistics(self) -> Statistics:
        tuning = self.controls.tuning
        since = self._recording_since
        return replace(
            self.base,
            automatic=tuning.strength == "auto",
            used=self.base.used if tuning.strength == "auto" else tuning.strength,
            mix=tuning.mix,
            scale="1" if tuning.scale == "auto" else tuning.scale,
            automatic_scale=tuning.scale == "auto",
            recording=None if since is None else "/videos/live.mkv",
            recorded_seconds=0.0 if since is None else time.monotonic() - since,
        )

    def note_displayed(self, shot: LiveFrame) -> None:
        self.displayed.append(shot)

    def snapshot(self, shot: LiveFrame) -> None:
        self.snapshots.append(shot)

    def toggle_recording(self) -> None:
        self._recording_since = time.monotonic() if self._recording_since is None else None

    def stop(self) -> None:
        self.running = False


class Camera:
    """Puts noisy shots that carry their index, from a thread; a context manager.

    Attributes:
        count: shots put.
        slowest: longest time that one ``put`` took, in seconds.
    """

    def __init__(self, desk: TestDesk, *, fps: float = 30, size: tuple[int, int] = (320, 192)) -> None:
        source = SyntheticSource(24, size, noise_sigma=30)
        self._shots = [shot_of(noisy, source.clean(index)) for index, noisy in enumerate(source)]
        self._desk, self._fps = desk, fps
        self.count, self.slowest = 0, 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="malle-test-camera")

    def __enter__(self) -> Camera:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(1 / self._fps):
            begin = time.monotonic()
            self._desk.latest.put(replace(self._shots[self.count % len(self._shots)], captured=begin))
            self.slowest = max(self.slowest, time.monotonic() - begin)
            self.count += 1


def shot_of(raw: Frame, clean: Frame) -> LiveFrame:
    """The shot of one instant, captured now."""
    return LiveFrame(
        clean.planes, clean.pix_fmt, clean.pts, clean.time_base, clean.duration, clean.color,
        captured=time.monotonic(), raw=raw, sigma=12.0, estimated=12.5,
    )  # fmt: skip


def flat(level: int, size: tuple[int, int] = (320, 192)) -> Frame:
    """A grey picture, full range."""
    return Frame(
        (np.full((size[1], size[0]), level, np.uint8),), "gray", 0, Fraction(1, 30), color=ColorTags(2)
    )
