"""A window in a process of its own, as a test sees it."""

import json
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

from helpers.screen import PATIENCE, eventually

_TITLE = "malle-rt"
_ATTEMPTS = 5
_DRAWN = 3  # seconds; the first picture takes a tenth of one
_TESTS = Path(__file__).parents[1]


class Shown:
    """The small desk's program on a screen.

    Attributes:
        state: what it told last.
        lines: how often it has told, once per picture.
        process: the program.
        window: number of its window.
    """

    def __init__(self, screen, process):
        self.screen, self.process = screen, process
        self.state = {}
        self.lines = 0
        self._reader = threading.Thread(target=self._read, name="reader")
        self._reader.start()
        self.window = eventually(lambda: screen.windows(_TITLE))[-1]

    def tell(self, wanted):
        """Statistics to change, or "stop"."""
        self.process.stdin.write(json.dumps(wanted) + "\n")
        self.process.stdin.flush()

    def press(self, key):
        """Type a key into the window."""
        self.screen.press(self.window, key)

    def look(self):
        """The window's picture."""
        return self.screen.grab(self.window)

    def is_drawn(self):
        """Whether anything but black comes to be seen in the window within a while."""
        end = time.monotonic() + _DRAWN
        while time.monotonic() < end:
            if self.look()[300:400, 300:400].min() > 8:
                return True
        return False

    def until(self, condition):
        """Wait for the state to be so."""
        eventually(lambda: self.state and condition(self.state))

    def has_ended(self):
        """Wait for the program to end; its exit code."""
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return code

    def _read(self):
        for line in self.process.stdout:
            self.state = json.loads(line)
            self.lines += 1


@contextmanager
def shown_window(screen, *, view="split", pictures=True):
    """A window that shows the small desk."""
    for attempt in range(_ATTEMPTS):
        with _started(screen, view, pictures) as shown:
            # Without a window manager Qt now and then never draws in its first window (one in twenty, with a bare
            # cv2.imshow as well); with one it always does.
            if attempt < _ATTEMPTS - 1 and not shown.is_drawn():
                continue
            yield shown
            return


@contextmanager
def _started(screen, view, pictures):
    paths = [str(_TESTS), str(_TESTS.parent)]
    code = f"import sys; sys.path[:0] = {paths!r}; from helpers.small_desk import main; main(*sys.argv[1:])"
    command = [sys.executable, "-c", code, view, "pictures" if pictures else "nothing"]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command, env=screen.environment, text=True, **pipes) as process:
        try:
            shown = Shown(screen, process)
            if pictures:
                shown.until(lambda state: state["displayed"] > 3)
            yield shown
        finally:
            process.kill()
            eventually(lambda: not screen.windows(_TITLE))  # or the next test would find this one's
