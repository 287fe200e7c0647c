"""OpenCV's captures: opened by number, path or pipeline, asked for a mode, and kept from the terminal."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

from malle_rt.errors import ConfigError, SourceError
from malle_rt.live.capture.camera_modes import Camera, Mode, preferred_fourcc
from malle_rt.live.capture.device import CaptureRequest
from malle_rt.opencv import opencv
from malle_rt.shown import without_secrets

__all__ = [
    "READ_SECONDS",
    "ask_for_mode",
    "obtained_mode",
    "open_camera",
    "open_number",
    "open_pipeline",
    "quiet",
    "release",
    "take_packed",
]

log = logging.getLogger(__name__)

# Longest wait for one frame of a Video4Linux camera.
READ_SECONDS = 2
# Two: one in our hands while the camera fills the other. With a single one it has to leave out every second frame;
# the four that OpenCV takes by itself hold older pictures after a pause.
_BUFFERS = 2
_APPSINK = "videoconvert ! video/x-raw,format=BGR ! appsink drop=true max-buffers=1 sync=false"
_SILENT = 0  # cv::utils::logging::LOG_LEVEL_SILENT


def open_camera(camera: Camera) -> Any:
    """A capture of a camera that ``find_camera`` gave.

    Raises:
        SourceError: OpenCV does not open it.
    """
    if not camera.path:
        return open_number(camera.number)
    # OpenCV waits 10 s for a frame unless told otherwise, and looks here when it first waits.
    os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", str(READ_SECONDS))
    cv2 = opencv()
    with quiet():
        capture = cv2.VideoCapture(camera.path, cv2.CAP_V4L2)
    if not capture.isOpened():
        offers = ", ".join(sorted({mode.fourcc for mode in camera.modes})) or "no modes"
        raise SourceError(
            f"{camera.label} does not open: OpenCV {cv2.__version__} can use none of what it offers ({offers}). "
            "Set OPENCV_LOG_LEVEL=DEBUG to see why"
        )
    return capture


def open_number(number: int) -> Any:
    """A capture by number, with the interfaces of Windows and macOS.

    Raises:
        SourceError: there is no such camera, or it cannot be used.
    """
    cv2 = opencv()
    ways = (cv2.CAP_AVFOUNDATION,) if sys.platform == "darwin" else (cv2.CAP_MSMF, cv2.CAP_DSHOW)
    for way in ways:
        with quiet():
            capture = cv2.VideoCapture(number, way)
        if capture.isOpened():
            return capture
    raise SourceError(
        f"camera {number} does not open: not there, in use, or not allowed in the system's privacy settings. "
        "malle-rt webcam --list shows those found"
    )


def open_pipeline(pipeline: str) -> Any:
    """A capture of a GStreamer pipeline; one without an appsink gets one that keeps only the newest picture.

    A pipeline that never starts keeps the caller waiting: for 30 s, before OpenCV 4.7 for ever.

    Raises:
        ConfigError: there is no pipeline.
        SourceError: this OpenCV has no GStreamer; the pipeline does not start.
    """
    if not pipeline:
        raise ConfigError("gst: needs a pipeline after it, such as gst:nvarguscamerasrc ! nvvidconv")
    cv2 = opencv()
    if not cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
        raise SourceError(
            f"OpenCV {cv2.__version__} here has no GStreamer. NVIDIA's JetPack and Debian's python3-opencv have it"
        )
    whole = pipeline if "appsink" in pipeline else f"{pipeline} ! {_APPSINK}"
    if "drop=" not in whole:
        log.warning("the appsink keeps all pictures and the delay may grow: give it drop=true max-buffers=1")
    with quiet():
        capture = cv2.VideoCapture(whole, cv2.CAP_GSTREAMER)
    if not capture.isOpened():
        raise SourceError(
            f"the pipeline does not start: {without_secrets(whole)}. Try it with gst-launch-1.0"
        )
    return capture


def ask_for_mode(capture: Any, camera: Camera, request: CaptureRequest) -> None:
    """Ask for what the user wants; ``obtained_mode`` tells what came of it."""
    cv2 = opencv()
    # The order counts: a format decides which sizes there are, a size which rates, and OpenCV starts all over with
    # the rate rounded to whole frames whenever another of them changes.
    fourcc = request.fourcc or preferred_fourcc(camera.modes, request.size, request.frame_rate)
    with quiet():
        if fourcc is not None:
            capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter_fourcc(*fourcc))
        if request.size is not None:
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, request.size[0])
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, request.size[1])
        capture.set(cv2.CAP_PROP_BUFFERSIZE, _BUFFERS)
        if request.frame_rate is not None:
            capture.set(cv2.CAP_PROP_FPS, request.frame_rate)


def obtained_mode(capture: Any) -> Mode:
    """What the capture gives; no fourcc or no rate where OpenCV does not know it."""
    cv2 = opencv()
    with quiet():
        width, height = (int(capture.get(p)) for p in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        rate = float(capture.get(cv2.CAP_PROP_FPS))
        code = int(capture.get(cv2.CAP_PROP_FOURCC))
    text = (code & 0x7FFFFFFF).to_bytes(4, "little").decode("latin-1").strip()
    fourcc = text if text.isascii() and text.isprintable() else ""
    rates = (Fraction(rate).limit_denominator(1001),) if 0 < rate <= 1000 else ()
    return Mode(fourcc, width, height, rates)


def take_packed(capture: Any, camera: Camera | None, mode: Mode) -> bool:
    """Have JPEG pictures handed out as the camera sent them; whether they are from now on.

    OpenCV gives the picture before once more where one cannot be decoded, and says nothing.
    """
    if camera is None or not camera.path or mode.fourcc != "MJPG":
        return False
    return bool(capture.set(opencv().CAP_PROP_CONVERT_RGB, 0))


def release(capture: Any) -> None:
    """Give the camera back."""
    with quiet():
        capture.release()


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
