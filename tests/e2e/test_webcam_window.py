"""``malle-rt webcam`` in its window, on an X server: what a person does with keys, mouse and eyes."""

import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from helpers.screen import eventually, open_screen
from helpers.streams import StreamServer, write_stream_clip

from malle_rt.media.file_source import FileSource

pytestmark = pytest.mark.slow  # each starts the program


@pytest.fixture(scope="module")
def screen():
    with open_screen(managed=True) as screen:
        yield screen


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_stream_clip(tmp_path_factory.mktemp("clips") / "clip.ts", size=(320, 192))


class Preview:
    """The command with its window; a context manager."""

    def __init__(self, screen, *words):
        command = [sys.executable, "-m", "malle_rt", "webcam", *map(str, words)]
        self._screen = screen
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=screen.environment
        )

    def __enter__(self):
        self.window = eventually(lambda: self._screen.windows("malle-rt"))[-1]
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def look(self):
        return self._screen.grab(self.window).astype(int)

    def moves(self):
        """Once two looks differ; the first picture gives the window its size."""

        def differs():
            first, second = self.look(), self.look()
            return first.shape == second.shape and np.abs(first - second).mean() > 1

        return eventually(differs)

    def press(self, key):
        self._screen.press(self.window, key)

    def ended(self):
        """Seconds it took, what it printed."""
        begin = time.monotonic()
        out, err = self.process.communicate(timeout=20)
        return time.monotonic() - begin, out, err


def test_keys_record_save_and_quit(screen, clip, tmp_path):
    with Preview(screen, "--device", clip, "--loop", "--folder", tmp_path) as preview:
        assert preview.moves()
        preview.press("v")
        found = eventually(lambda: list(tmp_path.glob("*.partial.mkv")))
        eventually(lambda: found[0].stat().st_size > 3000)
        preview.press("p")
        eventually(lambda: len(list(tmp_path.glob("malle-rt-*.png"))) == 2)
        preview.press("v")
        eventually(lambda: list(tmp_path.glob("malle-rt-*[0-9].mkv")))
        preview.press("q")
        seconds, out, err = preview.ended()
    assert preview.process.returncode == 0, err
    assert seconds < 3
    assert "wrote" in out
    source = FileSource(next(tmp_path.glob("malle-rt-*[0-9].mkv")))
    assert sum(1 for _ in source) > 2
    source.close()


def test_the_picture_freezes_and_goes_on(screen, clip):
    with Preview(screen, "--device", clip, "--loop", "--view", "clean") as preview:
        assert preview.moves()
        preview.press("space")

        def still():
            first = preview.look()
            time.sleep(0.4)
            below_the_figures = first.shape[0] * 3 // 4
            return np.abs(preview.look() - first)[below_the_figures:].max() == 0

        eventually(still)
        preview.press("space")
        assert preview.moves()


@pytest.mark.parametrize("kind", ["rtsp", "udp"])
def test_a_stream_that_dies_darkens_the_picture_and_comes_back(screen, clip, kind):
    with StreamServer(kind, clip) as server, Preview(screen, "--device", server.url) as preview:
        assert preview.moves()
        bright = preview.look().mean()
        server.kill()
        eventually(lambda: preview.look().mean() < 0.75 * bright)
        server.restart()
        eventually(lambda: preview.look().mean() > 0.85 * bright)
        assert preview.moves()


def test_closing_the_window_ends_it(screen, clip):
    with Preview(screen, "--device", clip, "--loop") as preview:
        assert preview.moves()
        screen.ask_to_close(preview.window)
        seconds, _, err = preview.ended()
    assert preview.process.returncode == 0, err
    assert seconds < 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it(screen, clip, number):
    with Preview(screen, "--device", clip, "--loop") as preview:
        assert preview.moves()
        preview.process.send_signal(number)
        seconds, _, err = preview.ended()
    assert preview.process.returncode == 128 + number, err
    assert seconds < 3
