"""The window of a live session."""

from __future__ import annotations

import time
from contextlib import suppress
from types import ModuleType
from typing import cast

from malle_rt.live.control import SessionControl
from malle_rt.live.frame import LiveFrame, View
from malle_rt.live.statistics import Statistics
from malle_rt.live.view.compose import Pictures, compose, picture_area
from malle_rt.live.view.console import Console, ViewSettings
from malle_rt.live.view.drawing import Size, start_size
from malle_rt.live.view.keys import key_name, press
from malle_rt.live.view.screen import quiet_qt, require_display
from malle_rt.opencv import opencv

__all__ = ["Window", "require_display"]

_WAIT = 0.01  # seconds for a new frame; keys and the mouse are looked at in between
_REFRESH = 0.25  # seconds between two looks at the statistics: digits that change faster cannot be read
_BEFORE: Size = (1280, 720)  # of the window, while there is no picture
SMALL_SCREEN: Size = (1366, 768)  # where the screen does not tell its size: the window must fit any

_Drawn = tuple[LiveFrame | None, Statistics, ViewSettings, Size]


class Window:
    """Shows the newest frame of a session, and lets the viewer change how.

    A click holds the divider of the split view; until then it follows the mouse without a button held down: a sweep
    across an edge in the picture is what shows a difference best, and a held button tires.

    Args:
        session: whose pictures are shown.
        view: what is shown at first: "split", "side", "raw" or "clean".
        title: of the window.
    """

    def __init__(self, session: SessionControl, *, view: View = "split", title: str = "malle-rt") -> None:
        self._session = session
        self._title = title
        self._cv2: ModuleType = opencv()
        self._console = Console(session, view)
        self._pictures = Pictures()
        self._number = 0
        self._size, self._screen = _BEFORE, SMALL_SCREEN
        self._drawn: _Drawn | None = None
        self._statistics = session.statistics()
        self._looked = time.monotonic()
        self._visible = False
        self._full_screen = False

    def run(self) -> None:
        """Show until the session ends, the viewer quits or closes the window, and then stop the session.

        On the main thread, which most window systems insist on.

        Raises:
            SinkError: there is no display.
        """
        self._screen = require_display() or self._screen
        quiet_qt()
        try:
            self._open()
            while self._session.running and not self._console.quitting:
                self._step()
        finally:
            self._session.stop()
            self._close()

    def _open(self) -> None:
        cv2 = self._cv2
        cv2.namedWindow(self._title, cv2.WINDOW_NORMAL | cv2.WINDOW_FREERATIO | cv2.WINDOW_GUI_NORMAL)
        self._resize(start_size(_BEFORE, self._screen))
        cv2.setMouseCallback(self._title, self._on_mouse)

    def _close(self) -> None:
        with suppress(self._cv2.error):  # the viewer may have closed it
            self._cv2.destroyWindow(self._title)
            self._cv2.pollKey()  # lets the window system do it

    def _step(self) -> None:
        """Once round: a new frame, what has changed, keys."""
        self._number, frame = self._session.latest.wait(self._number, _WAIT)
        fresh = frame is not None and not self._console.settings.frozen
        if fresh:
            self._take(cast(LiveFrame, frame))
        self._console.tick()
        self._look()
        self._draw()
        self._poll()  # what was drawn reaches the screen in here
        if fresh:
            self._session.note_displayed(cast(LiveFrame, frame))

    def _take(self, frame: LiveFrame) -> None:
        """Show this frame from now on; the first one gives the window its shape."""
        if self._console.frame is None:
            self._resize(start_size((frame.width, frame.height), self._screen))
        self._console.frame = frame

    def _resize(self, size: Size) -> None:
        self._cv2.resizeWindow(self._title, *size)
        self._size = size

    def _look(self) -> None:
        """Take the session's statistics now and then."""
        if time.monotonic() - self._looked >= _REFRESH:
            self._statistics, self._looked = self._session.statistics(), time.monotonic()

    def _draw(self) -> None:
        """Draw, if anything has changed."""
        self._measure()
        console = self._console
        wanted: _Drawn = (console.frame, self._statistics, console.settings, self._size)
        if self._drawn is None or wanted[0] is not self._drawn[0] or wanted[1:] != self._drawn[1:]:
            self._cv2.imshow(self._title, compose(*wanted, self._pictures))
            self._drawn = wanted

    def _measure(self) -> None:
        """How large the window's picture is now; as before where the window system does not tell."""
        with suppress(self._cv2.error):
            _, _, width, height = self._cv2.getWindowImageRect(self._title)
            if width > 0 and height > 0:
                self._size = (width, height)

    def _poll(self) -> None:
        """Let the window system work, do what the keys ask for, and see whether the window is still there."""
        key = key_name(self._cv2.pollKey())
        if key is not None:
            press(self._console, key)
            self._looked = 0.0  # so that the overlay shows at once what the key did
        if self._console.full_screen != self._full_screen:
            self._full_screen = self._console.full_screen
            self._cv2.setWindowProperty(self._title, self._cv2.WND_PROP_FULLSCREEN, float(self._full_screen))
        self._see_closed()

    def _see_closed(self) -> None:
        """A window that was visible and is not any more has been closed; Wayland never tells that one is."""
        try:
            visible = self._cv2.getWindowProperty(self._title, self._cv2.WND_PROP_VISIBLE) > 0
        except self._cv2.error:  # Qt, once its last window is gone
            visible = False
        if self._visible and not visible:
            self._console.quit()
        self._visible = visible

    def _on_mouse(self, event: int, x: int, _y: int, _flags: int, _: object) -> None:
        """The window system tells where the mouse is, in pixels of the picture that was drawn last."""
        frame, cv2 = self._console.frame, self._cv2
        if frame is None or self._drawn is None:
            return
        area = picture_area(frame, self._drawn[3])
        if event == cv2.EVENT_LBUTTONDOWN:
            self._console.click(x, area)
        elif event == cv2.EVENT_MOUSEMOVE:
            self._console.point(x, area)
