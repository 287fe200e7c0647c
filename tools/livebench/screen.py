"""A screen without a monitor, and an eye that reads the clock on it."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from livebench.camera import PLACE, age, read_clock

__all__ = ["Eye", "Screen", "Window", "missing_programs"]

# Looks per second: a picture is noticed up to 17 ms after it appeared, whatever made it.
_LOOKS = 60
_PATIENCE = 20.0  # seconds, for programs that start
_SETTLING = 1.0  # seconds a new window takes to get its size


def missing_programs() -> str:
    """What has to be installed for the screen, "" where nothing."""
    missing = [name for name in ("Xvfb", "openbox", "xdotool", "ffmpeg") if shutil.which(name) is None]
    return ", ".join(missing)


class Screen:
    """An X server with a window manager, on a display number of its own; a context manager.

    Attributes:
        size: (width, height).
        display: its name, such as ":3".
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size
        read_end, write_end = os.pipe()
        # Without -noreset the server starts anew whenever its last window goes, and turns programs away meanwhile.
        options = f"-displayfd {write_end} -screen 0 {size[0]}x{size[1]}x24 -nolisten tcp -noreset"
        command = ["Xvfb", *options.split()]
        self._server = subprocess.Popen(command, pass_fds=(write_end,), stderr=subprocess.DEVNULL)
        os.close(write_end)
        with os.fdopen(read_end) as said:
            self.display = f":{said.readline().strip()}"
        # Without a window manager Qt does not always paint its first window.
        self._manager = subprocess.Popen(
            ["openbox"], env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    @property
    def environment(self) -> dict[str, str]:
        """For programs that should show themselves here."""
        return {**os.environ, "DISPLAY": self.display}

    def window(self, title: str) -> Window:
        """Wait for a visible window and give it the keyboard."""
        end = time.monotonic() + _PATIENCE
        while not (found := self._xdotool("search", "--onlyvisible", "--name", f"^{title}$").split()):
            if time.monotonic() > end:
                raise SystemExit(f"no window {title!r} came within {_PATIENCE:.0f} s")
            time.sleep(0.1)
        time.sleep(_SETTLING)
        self._xdotool("windowfocus", found[-1])
        lines = self._xdotool("getwindowgeometry", "--shell", found[-1]).splitlines()
        values = dict(line.split("=") for line in lines)
        return Window(self.display, found[-1], (int(values["WIDTH"]), int(values["HEIGHT"])))

    def key(self, name: str) -> None:
        """Press a key, by xdotool's name, in the window that has the keyboard."""
        self._xdotool("key", name)

    def _xdotool(self, *words: str) -> str:
        command = ["xdotool", *words]
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
        return done.stdout

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, *_: object) -> None:
        for process in (self._manager, self._server):
            process.kill()
            process.wait(10)


@dataclass(frozen=True)
class Window:
    """A window on a screen.

    Attributes:
        display: name of the screen it is on.
        number: of the window.
        size: (width, height).
    """

    display: str
    number: str
    size: tuple[int, int]

    def save(self, path: Path) -> None:
        """A picture of it."""
        command = [*self._grab(1, self.size, 0), "-frames:v", "1", "-y", str(path)]
        subprocess.run(command, check=True, timeout=_PATIENCE)

    def eye(self) -> Eye:
        """Look at the clock in a picture that fills the window."""
        top, bottom = (round(share * self.size[1]) for share in PLACE)
        size = (self.size[0], bottom - top)
        return Eye([*self._grab(_LOOKS, size, top), "-pix_fmt", "gray", "-f", "rawvideo", "pipe:1"], size)

    def _grab(self, rate: int, size: tuple[int, int], top: int) -> list[str]:
        """The beginning of a command that looks ``rate`` times per second at some rows of the window."""
        what = ["-window_id", self.number, "-grab_y", str(top), "-video_size", f"{size[0]}x{size[1]}"]
        options = ["-draw_mouse", "0", "-framerate", str(rate), *what]
        return ["ffmpeg", "-v", "error", "-nostdin", "-f", "x11grab", *options, "-i", self.display]


class Eye:
    """Notes for every picture how old it was when it was first seen.

    Attributes:
        ages: milliseconds, in the order seen.
    """

    def __init__(self, command: list[str], size: tuple[int, int]) -> None:
        self.ages: list[int] = []
        self._size = size
        self._grabber = subprocess.Popen(command, stdout=subprocess.PIPE)
        self._thread = threading.Thread(target=self._look, name="eye")
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._grabber.kill()
        self._thread.join(10)
        self._grabber.wait(10)

    def _look(self) -> None:
        width, height = self._size
        assert self._grabber.stdout is not None
        seen: int | None = None
        while len(data := self._grabber.stdout.read(width * height)) == width * height:
            drawn = read_clock(np.frombuffer(data, np.uint8).reshape(height, width))
            if drawn is not None and drawn != seen:
                self.ages.append(age(drawn))
                seen = drawn
