"""A desk that plays pictures made on the spot, and a program that shows it in a window.

The program is told what to change by lines of JSON on its standard input, and tells what has come of keys and mouse by
lines of JSON on its standard output.
"""

import json
import sys
import threading
import time
from fractions import Fraction

import numpy as np

from malle_rt.frame import ColorTags, Frame
from malle_rt.live.control import Controls
from malle_rt.live.frame import Latest, LiveFrame
from malle_rt.live.statistics import Statistics
from malle_rt.pipeline import Latency

SIZE = (640, 360)
FULL_RANGE_709 = ColorTags(2, 1, 1, 1)


def plain_frame(luma, size=SIZE, cls=Frame, **values):
    """A grey frame of one luma, 4:2:0 in full range, so that luma is what the screen shows."""
    width, height = size
    half = (-(-height // 2), -(-width // 2))
    planes = (np.full((height, width), luma, np.uint8), *(np.full(half, 128, np.uint8) for _ in range(2)))
    return cls(planes, "yuv420p", 0, Fraction(1, 30), color=FULL_RANGE_709, **values)


def plain_shot(raw, clean, size=SIZE, **values):
    """A shot whose captured and denoised pictures have these lumas."""
    return plain_frame(
        clean, size, LiveFrame, raw=plain_frame(raw, size), captured=time.monotonic(), **values
    )


def some_statistics(**values):
    """Statistics of a session in good order, changed as told."""
    usual = {
        "source": "camera 0, 640x360 at 30 fps, MJPG",
        "state": "live",
        "message": None,
        "backend": "openvino rt-s int8",
        "automatic": True,
        "estimated": 12.0,
        "used": 12.0,
        "mix": 1.0,
        "captured_fps": 30.0,
        "shown_fps": 30.0,
        "frames_in": 100,
        "frames_out": 100,
        "dropped": 0,
        "late": 0,
        "latency": Latency(20, 30, 35),
    }
    return Statistics(**{**usual, **values})


class SmallDesk:
    """A session without a camera and a network: dark captured pictures, bright clean ones that change all the time."""

    def __init__(self, *, pictures=True):
        self.controls = Controls()
        self.controls.note_used(12.0)
        self.latest = Latest()
        self.running = True
        self.values = {}
        self.displayed, self.snapshots, self.recordings = 0, 0, 0
        self._pictures = pictures
        self._player = threading.Thread(target=self._play, name="player")

    def start(self):
        self._player.start()

    def statistics(self):
        tuning = self.controls.tuning
        return some_statistics(automatic=tuning.strength == "auto", mix=tuning.mix, **self.values)

    def note_displayed(self, shot):
        self.displayed += 1

    def snapshot(self, shot):
        self.snapshots += 1

    def toggle_recording(self):
        self.recordings += 1

    def stop(self):
        self.running = False

    def report(self):
        tuning = self.controls.tuning
        return {
            "strength": tuning.strength,
            "mix": tuning.mix,
            "displayed": self.displayed,
            "snapshots": self.snapshots,
            "recordings": self.recordings,
        }

    def _play(self):
        index = 0
        while self.running:
            if self._pictures:
                self.latest.put(plain_shot(40 + index % 40, 180 + index % 60))
            sys.stdout.write(json.dumps(self.report()) + "\n")
            sys.stdout.flush()
            index += 1
            time.sleep(1 / 30)


def main(view, pictures):
    """Show the desk until the window ends."""
    from malle_rt.live.view.window import Window

    desk = SmallDesk(pictures=pictures == "pictures")
    threading.Thread(target=_obey, args=(desk,), daemon=True).start()
    desk.start()
    try:
        Window(desk, view=view).run()
    finally:
        desk.stop()


def _obey(desk):
    for line in sys.stdin:
        wanted = json.loads(line)
        if wanted == "stop":
            desk.stop()
        else:
            desk.values = wanted
