"""The window on a real X server: keys and mouse go in through the server, effects are looked at on its screen."""

import numpy as np
import pytest
from helpers.screen import SIZE as SCREEN
from helpers.screen import eventually, open_screen
from helpers.shown import shown_window

pytestmark = pytest.mark.slow  # each opens a window on a server of its own

BRIGHT = 120  # between the lumas of the captured and of the denoised pictures


@pytest.fixture(scope="module")
def screen():
    with open_screen() as screen:
        yield screen


def edge(picture):
    """Column where dark becomes bright, at a height where nothing is written; None where it does so nowhere."""
    row = picture[picture.shape[0] * 3 // 4, :, 0] > BRIGHT
    bright = np.flatnonzero(row)
    if not bright.size or not row[bright[0] :].all():
        return None
    return int(bright[0])


def brightness(picture):
    """Of the picture, at that height."""
    return float(picture[picture.shape[0] * 3 // 4, :, 0].mean())


def test_raw_is_left_of_the_divider_and_clean_right_of_it_wherever_the_mouse_goes(screen):
    with shown_window(screen) as shown:
        assert screen.place(shown.window)[2:] == (1280, 720)
        for x in (320, 1000, 640):
            screen.xdotool("mousemove", "--window", shown.window, x, 200)
            eventually(lambda x=x: (found := edge(shown.look())) is not None and abs(found - x) <= 3)


def test_a_click_holds_the_divider_and_another_lets_it_go(screen):
    with shown_window(screen) as shown:
        screen.xdotool("mousemove", "--window", shown.window, 300, 200, "click", 1)
        eventually(lambda: abs((edge(shown.look()) or 0) - 300) <= 3)
        screen.xdotool("mousemove", "--window", shown.window, 900, 200)
        before = shown.state["displayed"]
        shown.until(lambda state: state["displayed"] > before + 3)
        assert abs(edge(shown.look()) - 300) <= 3
        screen.xdotool("click", 1)
        eventually(lambda: abs((edge(shown.look()) or 0) - 900) <= 3)


def test_arrow_keys_move_the_divider(screen):
    with shown_window(screen) as shown:
        start = eventually(lambda: edge(shown.look()))
        shown.press("Left")
        eventually(lambda: (edge(shown.look()) or start) < start - 15)
        shown.press("Right")
        eventually(lambda: abs((edge(shown.look()) or 0) - start) <= 3)


def test_keys_choose_the_view(screen):
    with shown_window(screen) as shown:
        shown.press("r")
        eventually(lambda: brightness(shown.look()) < BRIGHT and edge(shown.look()) is None)
        shown.press("c")
        eventually(lambda: edge(shown.look()) == 0)
        shown.press("b")
        # The halves of a window as wide as the picture are half as high: background above and below.
        eventually(lambda: shown.look()[-10:, :, 0].max() < 30)
        assert abs(edge(shown.look()[180:500]) - 640) <= 4
        shown.press("s")
        eventually(lambda: abs((edge(shown.look()) or 0) - 640) <= 4)


def test_keys_change_the_tuning_of_the_session(screen):
    with shown_window(screen) as shown:
        assert shown.state["strength"] == "auto"
        shown.press("Up")
        shown.until(lambda state: state["strength"] == 13)
        shown.press("minus")
        shown.until(lambda state: state["strength"] == 12)
        shown.press("a")
        shown.until(lambda state: state["strength"] == "auto")
        shown.press("n")
        shown.until(lambda state: state["mix"] == 0.9)
        shown.press("m")
        shown.until(lambda state: state["mix"] == 1)


def test_snapshots_and_recordings_are_asked_for_once_per_key(screen):
    with shown_window(screen) as shown:
        shown.press("p")
        shown.until(lambda state: state["snapshots"] == 1)
        for times in (1, 2):
            shown.press("v")
            shown.until(lambda state, times=times: state["recordings"] == times)
        assert shown.state["snapshots"] == 1


def test_freezing_stops_the_picture_and_what_is_counted_as_displayed(screen):
    with shown_window(screen, view="clean") as shown:
        shown.press("i")
        eventually(lambda: shown.look()[:200, :300].std() < 3)
        shown.press("space")
        place = np.s_[500:600, 200:400]
        eventually(lambda: np.array_equal(*(_later(shown, place) for _ in range(2))))
        frozen = shown.state["displayed"]
        first = shown.look()[place]
        assert np.array_equal(first, _later(shown, place))
        assert shown.state["displayed"] == frozen
        shown.press("space")
        shown.until(lambda state: state["displayed"] > frozen + 3)
        eventually(lambda: not np.array_equal(first, shown.look()[place]))


def _later(shown, place):
    """A part of the window after several frames of the session."""
    line = shown.lines
    eventually(lambda: shown.lines > line + 5)
    return shown.look()[place]


def test_help_and_statistics_come_and_go(screen):
    with shown_window(screen, view="raw") as shown:
        # Text is brighter than anything else in the captured picture.
        eventually(lambda: shown.look()[:200, :300].max() > 200)
        shown.press("i")
        eventually(lambda: shown.look()[:200, :300].max() < BRIGHT)
        shown.press("h")
        eventually(lambda: shown.look()[100:600, 400:900].max() > 200)
        shown.press("question")
        eventually(lambda: shown.look()[100:600, 400:900].max() < BRIGHT)


def test_a_lost_source_darkens_the_last_picture_under_a_red_banner(screen):
    with shown_window(screen, view="clean") as shown:
        before = shown.look()[50, 1000].max()
        shown.tell({"state": "lost", "message": "camera 0 is gone, trying again"})
        eventually(lambda: shown.look()[50, 1000].max() < before * 0.6)
        red, green, blue = shown.look()[445, 30].astype(int)
        assert red > 2 * green and red > 2 * blue
        shown.tell({})
        eventually(lambda: shown.look()[50, 1000].max() > BRIGHT)


def test_says_what_goes_on_before_the_first_picture(screen):
    with shown_window(screen, pictures=False) as shown:
        shown.tell({"state": "waiting", "message": "camera 0 is busy"})
        eventually(lambda: shown.look()[250:450, 400:900].max() > 200)
        shown.press("q")
        assert shown.has_ended() == 0


def test_the_picture_fills_a_window_that_is_made_larger(screen):
    with shown_window(screen, view="clean") as shown:
        screen.xdotool("windowsize", shown.window, 1600, 900)
        eventually(lambda: shown.look().shape[:2] == (900, 1600) and shown.look()[-5:, -5:].min() > BRIGHT)


@pytest.mark.parametrize("key", ["q", "Escape"])
def test_a_key_quits(screen, key):
    with shown_window(screen) as shown:
        shown.press(key)
        assert shown.has_ended() == 0
        assert shown.process.stderr.read() == ""


def test_closing_the_window_quits(screen):
    with shown_window(screen) as shown:
        screen.ask_to_close(shown.window)
        assert shown.has_ended() == 0
        assert shown.process.stderr.read() == ""


def test_the_window_goes_when_the_session_ends(screen):
    with shown_window(screen) as shown:
        shown.tell("stop")
        assert shown.has_ended() == 0


def test_fills_the_screen_and_comes_back():
    with open_screen(managed=True) as screen, shown_window(screen, view="clean") as shown:
        shown.press("f")
        eventually(lambda: screen.place(shown.window) == (0, 0, *SCREEN))
        # 16:10: the picture reaches both sides, above and below is background.
        eventually(lambda: shown.look()[500, [2, -3]].min() > BRIGHT)
        shown.press("f")
        eventually(lambda: screen.place(shown.window)[2:] == (1280, 720))
