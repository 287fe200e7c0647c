"""Whether windows can be opened here, found out in a process of its own: window systems end theirs when they cannot.

Run as a module it writes the screen's width and height, 0 0 where they are unknown; any other end means no.
"""

from __future__ import annotations

import ctypes
import os
import sys

from malle_rt.live.view.geometry import Size
from malle_rt.opencv import opencv

__all__ = ["main"]


def main() -> None:
    """Write the screen's size if a window could be opened."""
    size = _x11_screen()
    if size is None or "QT_QPA_PLATFORM" in os.environ:
        # Wayland, or a platform that somebody asked Qt for: only a window can tell.
        cv2 = opencv()
        cv2.namedWindow("malle-rt")
        cv2.destroyAllWindows()
    width, height = size or (0, 0)
    sys.stdout.write(f"{width} {height}\n")


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
    main()
