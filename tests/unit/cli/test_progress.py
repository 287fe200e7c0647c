import io
import os
from dataclasses import replace
from fractions import Fraction

import pytest

from malle_rt.cli.options import seconds
from malle_rt.cli.progress import ProgressBar
from malle_rt.pipeline import Latency, Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def snapshot(done, elapsed):
    return Progress(
        frames_in=done, frames_out=done, dropped=0, seconds=elapsed, position=None, busy={},
        denoise_ms=Latency(0, 0, 0),
    )  # fmt: skip


def test_a_terminal_gets_one_line_that_is_redrawn():
    out = Terminal()
    bar = ProgressBar(out, "openvino rt-s", 200)
    bar.update(snapshot(50, 2.0))
    bar.update(snapshot(100, 4.0))
    bar.close()
    last = out.getvalue().split("\r")[-1]
    assert "50%  100/200 frames  25.0 fps  ETA 0:04  openvino rt-s" in last
    assert out.getvalue().count("\n") == 1


@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        (1, ""),
        (8, "50%  ET"),
        (20, "50%  ETA 0:04"),
        (50, "50%  100/200 frames  25.0 fps  ETA 0:04"),
        (70, "[##########          ]  50%  100/200 frames  25.0 fps  ETA 0:04"),
        (200, "[##########          ]  50%  100/200 frames  25.0 fps  ETA 0:04  openvino rt-s"),
    ],
)
def test_a_narrow_terminal_gets_what_fits_and_no_second_line(columns, shown):
    """Its width is that of the terminal which is drawn on, whatever standard output is."""
    pty = pytest.importorskip("pty")
    import fcntl
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with os.fdopen(theirs, "w") as terminal:
        ProgressBar(terminal, "openvino rt-s", 200).update(snapshot(100, 4.0))
        drawn = os.read(ours, 1000).decode()
    os.close(ours)
    assert drawn.strip() == shown
    assert len(drawn.removeprefix("\r")) == max(0, columns - 1)


def test_file_speed_of_playing_and_size_are_said_where_there_is_room():
    out = Terminal()
    bar = ProgressBar(out, "openvino rt-s", 200, name="tape.mkv", written=lambda: 12_345_678)
    for done, elapsed in ((25, 1.0), (100, 4.0)):
        bar.update(replace(snapshot(done, elapsed), position=Fraction(7) + Fraction(done, 50)))
    texts = bar._texts(replace(snapshot(100, 4.0), position=Fraction(9)))
    assert texts[0] == (
        "tape.mkv  [##########          ]  50%  100/200 frames  25.0 fps  ETA 0:04  0.50x real time  12.3 MB"
        "  openvino rt-s"
    )
    assert "50%  100/200 frames  25.0 fps  ETA 0:04  0.50x real time  12.3 MB" in texts
    assert [len(text) for text in texts] == sorted((len(text) for text in texts), reverse=True)


def test_an_unknown_length_has_no_bar():
    out = Terminal()
    ProgressBar(out, "openvino", None).update(snapshot(50, 2.0))
    assert "50 frames  25.0 fps" in out.getvalue()
    assert "%" not in out.getvalue()


def test_a_file_gets_a_line_now_and_then():
    out = io.StringIO()
    bar = ProgressBar(out, "openvino", 1000)
    for second in range(1, 26):
        bar.update(snapshot(second * 10, float(second)))
    bar.close()
    assert len(out.getvalue().splitlines()) == 2


@pytest.mark.parametrize(
    ("text", "value"), [("90", 90), ("1:30", 90), ("0:01:30.5", Fraction(181, 2)), ("0.04", Fraction(1, 25))]
)
def test_times_are_exact(text, value):
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "x", "1:2:3:4", "-5", "1:-2"])
def test_other_times_are_refused(text):
    with pytest.raises(Exception, match="expected seconds"):
        seconds(text)
