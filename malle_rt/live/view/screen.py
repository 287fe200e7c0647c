"""The screen that a window would open on: whether there is one, and how large it is.

Window systems end the process of whoever cannot open one, so a process of its own finds out.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from pathlib import Path

from malle_rt.child import ChildEndedError, call, serve
from malle_rt.errors import MediaError, SinkError
from malle_rt.live.view.drawing import Size
from malle_rt.opencv import loaded_after_pyav, opencv

__all__ = ["quiet_qt", "require_display"]

_PATIENCE = 15.0  # seconds: a remote X server that does not answer
_INSTEAD = "use --no-window, and --web to watch in a browser"


def require_display() -> Size | None:
    """Make sure that a window can be opened, before any work is done in vain.

    Returns:
        Width and height of the screen in pixels; None where they cannot be told.

    Raises:
        SinkError: there is no screen, it cannot be reached, or OpenCV has no windows or would hang.
        MediaError: OpenCV does not load.
    """
    if sys.platform == "linux" and loaded_after_pyav():
        raise SinkError(
            f"no window: PyAV was imported before OpenCV, whose windows hang then; import cv2 first, or {_INSTEAD}"
        )
    if not _has_windows():
        raise SinkError(
            f"no window: this OpenCV was built without them; install opencv-python instead of "
            f"opencv-python-headless, or {_INSTEAD}"
        )
    if sys.platform == "win32":
        user32 = ctypes.windll.user32
        return int(user32.GetSystemMetrics(0)), int(user32.GetSystemMetrics(1))
    if sys.platform == "darwin":
        return None
    named = [f"{name}={os.environ[name]}" for name in ("DISPLAY", "WAYLAND_DISPLAY") if os.environ.get(name)]
    if not named:
        raise SinkError(f"no window: neither DISPLAY nor WAYLAND_DISPLAY is set here; {_INSTEAD}")
    return _probed(" ".join(named))


def quiet_qt() -> None:
    """Keep Qt from reporting, before the first window, that the OpenCV wheel has no fonts: the window draws its own."""
    named = os.environ.get("QT_QPA_FONTDIR")
    if named is not None and not Path(named).is_dir():
        os.environ["QT_QPA_FONTDIR"] = str(Path(__file__).parent)


def _has_windows() -> bool:
    framework = getattr(opencv(), "currentUIFramework", None)  # an older OpenCV 4 does not tell
    return framework is None or bool(framework())


def _probed(named: str) -> Size | None:
    quiet_qt()
    began = time.monotonic()
    try:
        size = call("malle_rt.live.view.screen", limit=_PATIENCE)
    except (ChildEndedError, MediaError):
        late = time.monotonic() - began >= _PATIENCE
        how = "does not answer" if late else "cannot be opened"
        raise SinkError(f"no window: the display ({named}) {how}; {_INSTEAD}") from None
    return (size[0], size[1]) if size else None


def _try_screen(*_: object) -> Size | None:
    """The screen's size, None where it is unknown; ends the process where no window can be opened."""
    size = _x11_screen()
    if size is None or "QT_QPA_PLATFORM" in os.environ:
        # Wayland, or a platform that somebody asked Qt for: only a window can tell.
        cv2 = opencv()
        cv2.namedWindow("malle-rt")
        cv2.destroyAllWindows()
    return size


def _x11_screen() -> Size | None:
    """Size of the X server's screen; None where there is no server that lets us in."""
    try:
        x11 = ctypes.CDLL("libX11.so.6")
    except OSError:
        return None
    x11.XOpenDisplay.restype = ctypes.c_void_p
    display = ctypes.c_void_p(x11.XOpenDisplay(None))
    if not display:
        return None
    screen = x11.XDefaultScreen(display)
    return x11.XDisplayWidth(display, screen), x11.XDisplayHeight(display, screen)


if __name__ == "__main__":
    serve(_try_screen)
