"""OpenCV's own messages, kept off the terminal while it works on a camera: our errors say the same in one line."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from malle_rt.opencv import opencv

__all__ = ["quiet"]

_SILENT = 0  # cv::utils::logging::LOG_LEVEL_SILENT


class _Silence:
    """The level is the whole process's: the first one in sets it, the last one out puts it back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._level = _SILENT

    def begin(self) -> None:
        get, set_to = _level_functions()
        with self._lock:
            if self._users == 0:
                self._level = get()
                set_to(_SILENT)
            self._users += 1

    def end(self) -> None:
        _, set_to = _level_functions()
        with self._lock:
            self._users -= 1
            if self._users == 0:
                set_to(self._level)


_silence = _Silence()


@contextmanager
def quiet() -> Iterator[None]:
    """Silence OpenCV, in all threads, while the statement runs; not where OPENCV_LOG_LEVEL asks for its messages."""
    if "OPENCV_LOG_LEVEL" in os.environ:
        yield
        return
    _silence.begin()
    try:
        yield
    finally:
        _silence.end()


def _level_functions() -> tuple[Callable[[], int], Callable[[int], object]]:
    """Get and set; OpenCV 5 has them elsewhere than 4, and old versions of 4 nowhere."""
    cv2 = opencv()
    place = getattr(cv2.utils, "logging", cv2)
    return getattr(place, "getLogLevel", lambda: _SILENT), getattr(place, "setLogLevel", lambda level: None)
