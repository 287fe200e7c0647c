"""Whether there is a screen, found out without harm."""

import os
import subprocess
import sys

import pytest
from helpers.screen import SIZE, open_screen

CODE = """
import malle_rt.live
from malle_rt.errors import SinkError
from malle_rt.live.view.screen import require_display
try:
    print(require_display())
except SinkError as error:
    print("SinkError:", error)
"""


def answer(code=CODE, **environment):
    """What a process with this display gets, and nothing on its standard error."""
    clean = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.strip()


pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="displays are named by the environment on Linux only"
)


def test_no_display_is_one_clear_line():
    assert answer() == (
        "SinkError: no window: neither DISPLAY nor WAYLAND_DISPLAY is set here; "
        "use --no-window, and --web to watch in a browser"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "named",
    [{"DISPLAY": ":8765"}, {"WAYLAND_DISPLAY": "wayland-8765"}, {"DISPLAY": "nonsense"}],
    ids=lambda named: "".join(named.values()),
)
def test_an_unreachable_display_does_not_abort_the_program(named):
    (name, value), *_ = named.items()
    assert answer(**named) == (
        f"SinkError: no window: the display ({name}={value}) cannot be opened; "
        "use --no-window, and --web to watch in a browser"
    )


def test_a_platform_that_qt_does_not_have_does_not_abort_the_program():
    with open_screen() as screen:
        found = answer(DISPLAY=screen.environment["DISPLAY"], QT_QPA_PLATFORM="nonsense")
    assert "cannot be opened" in found


def test_the_size_of_the_screen():
    with open_screen() as screen:
        assert answer(DISPLAY=screen.environment["DISPLAY"]) == str(SIZE)


def test_an_opencv_without_windows_says_which_one_has_them():
    code = CODE.replace("try:", "import cv2\ncv2.currentUIFramework = lambda: ''\ntry:")
    assert "install opencv-python instead of opencv-python-headless" in answer(code, DISPLAY=":0")


def test_windows_that_would_hang_are_not_opened():
    assert "PyAV was imported before OpenCV" in answer(f"import av\n{CODE}", DISPLAY=":0")
