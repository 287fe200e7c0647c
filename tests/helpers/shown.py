"""A window in a process of its own, as a test sees it."""

import json
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

from helpers.screen import PATIENCE, eventually

_TITLE = "malle-rt"
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
        self.window = screen.window(_TITLE)

    def tell(self, wanted):
        """Statistics to change, or "stop"."""
        self.process.stdin.write(json.dumps(wanted) + "\n")
        self.process.stdin.flush()

    def press(self, *keys):
        """Type into the window."""
        self.screen.press(self.window, *keys)

    def look(self):
        """The window's picture."""
        return self.screen.grab(self.window)

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
    paths = [str(_TESTS), str(_TESTS.parent)]
    code = f"import sys; sys.path[:0] = {paths!r}; from helpers.small_desk import main; main(*sys.argv[1:])"
    command = [sys.executable, "-c", code, view, "pictures" if pictures else "nothing"]
    with subprocess.Popen(
        command,
        env=screen.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            shown = Shown(screen, process)
            if pictures:
                shown.until(lambda state: state["displayed"] > 3)
            yield shown
        finally:
            process.kill()
