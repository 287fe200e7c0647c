"""Text, plates and places."""

import numpy as np
import pytest
from helpers.small_desk import some_statistics

from malle_rt.live.view.drawing import Rect, draw_plate, fit, halves, start_size, text_size
from malle_rt.live.view.overlay import statistics_rows
from malle_rt.live.view.window import SMALL_SCREEN
from malle_rt.media import drawn_text as text_module
from malle_rt.media.drawn_text import draw_text, fitted, text_width, wrapped
from malle_rt.opencv import opencv
from malle_rt.pipeline import Latency


@pytest.fixture(params=["own", "strokes"])
def font(request, monkeypatch):
    """OpenCV 5's outline font, and the one that every OpenCV has."""
    if request.param == "own" and not hasattr(opencv(), "FontFace"):
        pytest.skip("OpenCV 4 has no outline font (pip install 'opencv-python>=5')")
    if request.param == "strokes":
        monkeypatch.setattr(text_module, "_face", lambda: None)
    return request.param


@pytest.mark.parametrize("size", [13, 18, 27, 54])
def test_text_is_as_wide_as_measured_and_as_high_as_asked(font, size):
    canvas = np.zeros((size * 3, size * 30, 3), np.uint8)
    draw_text(canvas, "Hxg latency 12.3", (size, size * 2), size, (255, 255, 255))
    rows, columns = (np.flatnonzero(canvas.max(axis=(axis, 2)) > 100) for axis in (1, 0))
    assert columns[0] >= size - 1
    assert abs(columns[-1] - size - text_width("Hxg latency 12.3", size)) <= max(3, size / 6)
    assert 0.7 * size <= rows[-1] - rows[0] + 1 <= 1.2 * size
    assert rows[0] >= size


def test_text_of_any_language_is_drawn(font):
    canvas = np.zeros((60, 400, 3), np.uint8)
    draw_text(canvas, "Kamera größer 夜", (10, 40), 20, (255, 255, 255))
    assert canvas.max() == 255


def test_text_is_shortened_to_fit(font):
    long = "rtsp://a.very.long.name.of.a.camera/stream"
    assert fitted("short", 13, 200) == "short"
    short = fitted(long, 13, 120)
    assert short.endswith("...")
    assert text_width(short, 13) <= 120
    assert fitted(long, 13, 1) == "..."


@pytest.mark.parametrize("bold", [False, True])
def test_text_is_broken_into_lines_that_fit(font, bold):
    words = "no picture for three seconds, trying again in two " * 3
    lines = wrapped(words, 18, 300, 3, bold=bold)
    assert len(lines) == 3
    assert all(text_width(line, 18, bold=bold) <= 300 for line in lines)
    assert lines[-1].endswith("...")
    assert wrapped("", 18, 300, 3) == []
    assert wrapped("two words", 18, 300, 3) == ["two words"]


def test_text_stays_readable_in_small_windows_and_grows_with_large_ones():
    sizes = [text_size(size) for size in ((320, 180), (640, 360), (1280, 720), (1920, 1080), (3840, 2160))]
    assert sizes == [13, 13, 18, 27, 54]
    assert text_size((400, 2000)) == 13


def test_a_plate_has_round_corners_and_is_cut_at_the_edges():
    picture = np.full((100, 200, 3), 255, np.uint8)
    draw_plate(picture, Rect(20, 20, 60, 40), 10)
    assert picture[40, 50].max() < 90
    assert (picture[20, 20] == 255).all()
    assert (picture[59, 79] == 255).all()
    draw_plate(picture, Rect(180, 90, 100, 100), 10)
    draw_plate(picture, Rect(300, 300, 10, 10), 4)
    assert picture[95, 195].max() < 90


@pytest.mark.parametrize(
    ("size", "screen", "expected"),
    [
        ((640, 360), (1920, 1080), (1280, 720)),
        ((640, 480), (1920, 1080), (1280, 960)),
        ((1920, 1080), (3840, 2160), (1920, 1080)),
        ((3840, 2160), (1920, 1080), (1728, 972)),
        ((640, 480), (1366, 768), (921, 691)),
        ((1080, 1920), (1920, 1080), (547, 972)),
        ((1920, 1080), SMALL_SCREEN, (1228, 691)),  # it has not told its size
    ],
)
def test_windows_start_at_a_size_that_suits_picture_and_screen(size, screen, expected):
    assert start_size(size, screen) == expected


def test_pictures_lie_in_the_middle_in_their_own_shape():
    assert fit((640, 360), Rect(0, 0, 1280, 800)) == Rect(0, 40, 1280, 720)
    assert fit((100, 100), Rect(10, 0, 300, 100)) == Rect(110, 0, 100, 100)
    assert fit((10000, 1), Rect(0, 0, 100, 100)).height == 1
    assert halves(Rect(0, 0, 1281, 10)) == (Rect(0, 0, 640, 10), Rect(641, 0, 640, 10))


def test_the_overlay_tells_what_is_so():
    rows = dict(
        statistics_rows(some_statistics(estimated=None, automatic=False, used=14, mix=0.7, dropped=3))
    )
    assert rows["noise"] == "-- estimated"
    assert rows["strength"] == "14.0 manual, mix 70%"
    assert rows["dropped"] == "3"
    assert rows["latency"] == "p50 20 ms, p95 30 ms"
    assert dict(statistics_rows(some_statistics(latency=Latency(0, 0, 0))))["latency"] == "--"
