"""The newest picture, for viewers that look when they have time."""

import threading
import time

from helpers.live import shot

from malle_rt.live.frame import Latest


def test_a_viewer_gets_the_newest_and_only_once():
    latest = Latest()
    assert latest.wait(0, 0) == (0, None)
    first, second = shot(0), shot(1)
    latest.put(first)
    latest.put(second)
    number, seen = latest.wait(0, 0)
    assert seen is second
    assert latest.wait(number, 0) == (number, None)


def test_a_viewer_wakes_when_a_shot_comes():
    latest = Latest()
    seen = []
    viewer = threading.Thread(target=lambda: seen.append(latest.wait(0, 10)))
    viewer.start()
    latest.put(shot(3))
    viewer.join(5)
    assert not viewer.is_alive()
    assert seen[0][1].pts == 3


def test_waiting_has_an_end():
    begin = time.monotonic()
    assert Latest().wait(0, 0.05) == (0, None)
    assert time.monotonic() - begin < 2
