"""A screen without a monitor, and an eye that reads the clock on it."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np

from livebench.clock import PLACE, age, read_clock

__all__ = ["Eye", "Screen", "missing_programs"]

# Looks per second: a picture is noticed up to 17 ms after it appeared, whatever made it.
_LOOKS = 60


def missing_programs() -> str:
    """What has to be installed for the screen, "" where nothing."""
    missing = [name for name in ("Xvfb", "xdotool", "ffmpeg") if shutil.which(name) is None]
    return ", ".join(missing)


class Screen:
    """An X server on a display number of its own; a context manager.

    Attributes:
        size: (width, height).
        display: its name, such as ":3".
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size
        read_end, write_end = os.pipe()
        command = [
            "Xvfb",
            "-displayfd",
            str(write_end),
            "-screen",
            "0",
            f"{size[0]}x{size[1]}x24",
            "-nolisten",
            "tcp",
        ]
        self._server = subprocess.Popen(command, pass_fds=(write_end,), stderr=subprocess.DEVNULL)
        os.close(write_end)
        with os.fdopen(read_end) as said:
            self.display = f":{said.readline().strip()}"

    @property
    def environment(self) -> dict[str, str]:
        """For programs that should show themselves here."""
        return {**os.environ, "DISPLAY": self.display}

    def key(self, *names: str) -> None:
        """Press keys, by xdotool's names, in the window that has the focus."""
        for name in names:
            subprocess.run(["xdotool", "key", name], env=self.environment, check=True, timeout=10)

    def focus(self, title: str, seconds: int = 20) -> None:
        """Wait for a window and give it the keyboard."""
        find = ["xdotool", "search", "--sync", "--onlyvisible", "--name", title, "windowfocus"]
        subprocess.run(find, env=self.environment, check=True, timeout=seconds, stdout=subprocess.DEVNULL)

    def save(self, path: Path) -> None:
        """A screenshot."""
        subprocess.run(
            [*self._grab(1, self.size, (0, 0)), "-frames:v", "1", "-y", str(path)], check=True, timeout=20
        )

    def eye(self) -> Eye:
        """Look at the clock in a picture that fills the screen."""
        top, bottom = (round(share * self.size[1]) for share in PLACE)
        size = (self.size[0], bottom - top)
        return Eye(
            [*self._grab(_LOOKS, size, (0, top)), "-pix_fmt", "gray", "-f", "rawvideo", "pipe:1"], size
        )

    def _grab(self, rate: int, size: tuple[int, int], place: tuple[int, int]) -> list[str]:
        where = f"{self.display}+{place[0]},{place[1]}"
        options = ["-draw_mouse", "0", "-framerate", str(rate), "-video_size", f"{size[0]}x{size[1]}"]
        return ["ffmpeg", "-v", "error", "-nostdin", "-f", "x11grab", *options, "-i", where]

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.kill()
        self._server.wait(10)


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
