"""What lies in ``examples`` runs."""

import runpy
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.web_session import Camera, TestDesk
from media import write_clip

from malle_rt.live.web import WebAddress, WebServer

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
    return runpy.run_path(str(EXAMPLES / name), run_name="__main__")


@pytest.fixture
def shown(monkeypatch):
    """Pictures that OpenCV would show, were there a screen; nobody presses a key."""
    pictures = []
    monkeypatch.setattr(cv2, "imshow", lambda _, picture: pictures.append(picture))
    monkeypatch.setattr(cv2, "waitKey", lambda _: -1)
    return pictures


def test_every_example_is_tried_here():
    tried = Path(__file__).read_text()
    assert all(f'"{path.name}"' in tried for path in EXAMPLES.glob("*.py"))


def test_a_file_is_shown_clean(tmp_path, monkeypatch, shown):
    clip = write_clip(tmp_path / "in.mkv", frames=5, codec="ffv1")
    run("opencv_capture.py", monkeypatch, clip)
    assert [each.shape for each in shown] == [(48, 64, 3)] * 5


@pytest.mark.parametrize("arguments", [[], ["1"]])
def test_a_number_is_a_camera(monkeypatch, shown, arguments):
    opened = []

    class Camera:
        def __init__(self, source):
            opened.append(source)
            self.frames = iter([np.full((48, 64, 3), 90, np.uint8)] * 2)

        def isOpened(self):  # noqa: N802
            return True

        def read(self):
            frame = next(self.frames, None)
            return frame is not None, frame

    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    run("opencv_capture.py", monkeypatch, *arguments)
    assert opened == [int(arguments[0]) if arguments else 0] and len(shown) == 2


def test_what_cannot_be_opened_is_said(tmp_path, monkeypatch, shown):
    with pytest.raises(SystemExit, match=r"cannot open .*none\.mkv"):
        run("opencv_capture.py", monkeypatch, tmp_path / "none.mkv")


def test_the_capture_loop_has_twelve_lines():
    text = (EXAMPLES / "opencv_capture.py").read_text().partition('"""\n')[2]
    assert len([line for line in text.splitlines() if line]) <= 12


@pytest.mark.slow
def test_the_cells_on_pictures_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = run("pictures.py", monkeypatch)
    assert cv2.imread("pictures.png").shape == (320, 720, 3)
    noisy, clean, alone = (names[name].astype(int) for name in ("noisy", "clean", "photograph"))
    assert np.std(noisy - clean) > 5 and np.std(noisy - alone) > 5
    assert "sigma" in capsys.readouterr().out


def test_a_client_of_twenty_lines_controls_a_session(tmp_path, monkeypatch):
    """It ends by itself when the session does."""
    pytest.importorskip("aiohttp")
    desk = TestDesk()
    server = WebServer(desk, WebAddress(port=0))
    server.start()
    command = [sys.executable, str(EXAMPLES / "control.py"), server.url, "31.5"]
    with (
        Camera(desk),
        subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as client,
    ):
        lines = []
        for line in client.stdout:
            lines.append(line)
            if "strength 31.5" in line and (tmp_path / "live.jpg").exists():
                break
        server.close()
        assert client.wait(20) == 0
    assert desk.controls.tuning.strength == 31.5 and "29.5 fps" in lines[-1]
    assert cv2.imread(str(tmp_path / "live.jpg")).shape == (192, 320, 3)
    text = (EXAMPLES / "control.py").read_text().partition('"""\n')[2].rpartition('"""')[2]
    assert len([line for line in text.splitlines() if line]) <= 20
