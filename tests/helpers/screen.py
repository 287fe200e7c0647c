"""An X server without a screen, and what a person would do and see there."""

import ctypes
import os
import shutil
import subprocess
import time
from contextlib import contextmanager

import numpy as np
import pytest

SIZE = (1600, 1000)
PATIENCE = 20  # seconds; a busy machine takes a while to start a program


class Screen:
    """A running X server.

    Attributes:
        environment: of programs that are to open their windows there.
    """

    def __init__(self, number):
        self._name = f":{number}"
        self.environment = {**os.environ, "DISPLAY": self._name}
        self.environment.pop("WAYLAND_DISPLAY", None)

    def xdotool(self, *arguments):
        """Run xdotool; its output."""
        command = ["xdotool", *(str(argument) for argument in arguments)]
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        return done.stdout.strip()

    def windows(self, title):
        """Numbers of the visible windows with that title."""
        found = self.xdotool("search", "--onlyvisible", "--name", f"^{title}$")
        return [int(number) for number in found.split()]

    def place(self, window):
        """(x, y, width, height) of a window."""
        lines = self.xdotool("getwindowgeometry", "--shell", window).splitlines()
        values = dict(line.split("=") for line in lines)
        return tuple(int(values[name]) for name in ("X", "Y", "WIDTH", "HEIGHT"))

    def press(self, window, key):
        """Type a key into a window. Wait for its effect before the next: OpenCV keeps one key between two looks."""
        self.xdotool("windowfocus", "--sync", window, "key", key)

    def grab(self, window):
        """What a window shows, (rows, columns, 3) uint8 RGB."""
        x, y, width, height = self.place(window)
        # Not with PyAV: where OpenCV has been loaded, the X libraries of the two fit only one of them.
        grab = f"-f x11grab -draw_mouse 0 -video_size {SIZE[0]}x{SIZE[1]} -i {self._name}"
        command = f"ffmpeg -v error {grab} -frames:v 1 -f rawvideo -pix_fmt rgb24 -".split()
        done = subprocess.run(
            command, env=self.environment, capture_output=True, timeout=PATIENCE, check=True
        )
        picture = np.frombuffer(done.stdout, np.uint8).reshape(SIZE[1], SIZE[0], 3)
        return picture[y : y + height, x : x + width]

    def ask_to_close(self, window):
        """Do what a window manager does when its close button is pressed."""
        x11 = ctypes.CDLL("libX11.so.6")
        x11.XOpenDisplay.restype = ctypes.c_void_p
        x11.XInternAtom.restype = ctypes.c_ulong
        display = ctypes.c_void_p(x11.XOpenDisplay(self._name.encode()))
        protocols, delete = (
            x11.XInternAtom(display, name, False) for name in (b"WM_PROTOCOLS", b"WM_DELETE_WINDOW")
        )
        message = _ClientMessage(type=33, window=window, message_type=protocols, format=32)
        message.data[0] = delete
        x11.XSendEvent(display, ctypes.c_ulong(window), False, ctypes.c_long(0), ctypes.byref(message))
        x11.XCloseDisplay(display)


class _ClientMessage(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("serial", ctypes.c_ulong),
        ("send_event", ctypes.c_int),
        ("display", ctypes.c_void_p),
        ("window", ctypes.c_ulong),
        ("message_type", ctypes.c_ulong),
        ("format", ctypes.c_int),
        ("data", ctypes.c_long * 5),
        ("rest", ctypes.c_long * 16),  # an event is as large as the largest of its kinds
    )


@contextmanager
def open_screen(*, managed=False):
    """A screen of ``SIZE``; with a window manager where full screen is wanted, which is a manager's work."""
    need("Xvfb", "xvfb")
    need("xdotool", "xdotool")
    need("ffmpeg", "ffmpeg")
    if managed:
        need("openbox", "openbox")
    reading, writing = os.pipe()
    size = f"{SIZE[0]}x{SIZE[1]}x24"
    # Without -noreset the server starts anew whenever its last window goes, and turns the next program away meanwhile.
    server = ["Xvfb", "-displayfd", str(writing), "-screen", "0", size, "-nolisten", "tcp", "-noreset"]
    with _running(server, (writing,)):
        os.close(writing)
        with os.fdopen(reading) as answer:
            screen = Screen(int(answer.readline()))
        if not managed:
            yield screen
            return
        with _running(["openbox"], (), screen.environment):
            eventually(lambda: _is_managed(screen))
            yield screen


def need(program, package):
    """Skip the test where a program is missing."""
    if shutil.which(program) is None:
        pytest.skip(f"no {program} (Debian: apt install {package})")


def eventually(condition, seconds=PATIENCE):
    """What the condition gives, once that is true.

    Raises:
        AssertionError: it has not become true in that time.
    """
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"not so within {seconds} s"
        time.sleep(0.02)
    return value


def _is_managed(screen):
    """Whether a window manager has announced itself; xdotool can only ask one that has."""
    return screen.xdotool("get_num_desktops").isdigit()


@contextmanager
def _running(command, keep=(), environment=None):
    process = subprocess.Popen(
        command, env=environment, pass_fds=keep, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
