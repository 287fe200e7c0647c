"""Keys and mouse, without a window."""

import pytest
from helpers.screen import eventually
from helpers.small_desk import SmallDesk, plain_shot

from malle_rt.live.view.console import Console
from malle_rt.live.view.drawing import Rect
from malle_rt.live.view.keys import key_help, key_name, press

AREA = Rect(100, 50, 1000, 500)


@pytest.fixture
def desk():
    return SmallDesk()


@pytest.fixture
def console(desk):
    return Console(desk, "split")


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (-1, None),
        (0, None),
        (ord("s"), "s"),
        (ord("S"), "s"),
        (ord("?"), "?"),
        (27, "Esc"),
        (32, "Space"),
        (13, None),
        # Qt and GTK on X11: keysyms, with NumLock and Shift in GTK's upper half.
        (0xFF51, "Left"),
        (0xFF52, "Up"),
        (0xFF53, "Right"),
        (0xFF54, "Down"),
        (0x10FF51, "Left"),
        (0x100073, "s"),
        (0xFF96, "Left"),
        (0xFFAB, "+"),
        (0xFFAD, "-"),
        (0xFFE1, None),
        # Win32.
        (2424832, "Left"),
        (2490368, "Up"),
        (2555904, "Right"),
        (2621440, "Down"),
        (0x700000, None),
        # Cocoa.
        (63232, "Up"),
        (63233, "Down"),
        (63234, "Left"),
        (63235, "Right"),
    ],
)
def test_keys_have_the_same_name_on_every_window_system(code, name):
    assert key_name(code) == name


@pytest.mark.parametrize(("key", "view"), [("s", "split"), ("b", "side"), ("r", "raw"), ("c", "clean")])
def test_keys_choose_the_view(console, key, view):
    press(console, key)
    assert console.settings.view == view


def test_unknown_keys_do_nothing(console):
    before = console.settings
    press(console, "x")
    assert console.settings == before


def test_every_key_of_the_help_does_something():
    """The names in the help are those of the table, whose letters must reach an action."""
    for keys, meaning in key_help():
        assert meaning
        for key in keys.replace("mouse, ", "").split(", "):
            console = Console(SmallDesk(), "split")
            console.frame = plain_shot(0, 0)
            told = console._session.report()
            before = (console.settings, console.full_screen, console.quitting)
            press(console, key)
            press(console, "i" if key == "s" else "")
            assert (console.settings, console.full_screen, console.quitting, console._session.report()) != (
                *before,
                told,
            )


def test_the_divider_follows_the_mouse_and_stops_at_the_edges(console):
    for x, place in ((600, 0.5), (350, 0.25), (0, 0), (5000, 1)):
        console.point(x, AREA)
        assert console.settings.divider == place


def test_a_click_holds_the_divider_until_the_next(console):
    console.click(350, AREA)
    console.point(900, AREA)
    assert console.settings.divider == 0.25
    console.click(600, AREA)
    console.point(900, AREA)
    assert console.settings.divider == 0.8


def test_other_views_leave_the_divider_alone(console):
    console.show("raw")
    console.point(900, AREA)
    console.click(900, AREA)
    console.show("split")
    assert console.settings.divider == 0.5
    console.point(900, AREA)
    assert console.settings.divider == 0.8


def test_arrows_move_the_divider(console):
    for _ in range(60):
        press(console, "Left")
    assert console.settings.divider == 0
    press(console, "Right")
    assert console.settings.divider == pytest.approx(0.02)


def test_strength_by_hand_begins_at_what_was_used(console, desk):
    press(console, "+")
    assert desk.controls.tuning.strength == 13
    assert console.settings.notice == "strength 13.0"
    press(console, "Down")
    press(console, "Down")
    assert desk.controls.tuning.strength == 11
    press(console, "a")
    assert desk.controls.tuning.strength == "auto"
    assert console.settings.notice == "strength automatic"


def test_mix(console, desk):
    for _ in range(3):
        press(console, "n")
    press(console, "m")
    assert desk.controls.tuning.mix == pytest.approx(0.8)
    assert console.settings.notice == "mix 80%"


def test_nothing_to_freeze_or_save_before_the_first_picture(console, desk):
    press(console, "Space")
    press(console, "p")
    assert not console.settings.frozen
    assert desk.snapshots == 0
    assert console.settings.notice == "no picture to save yet"


def test_snapshots_are_of_what_is_shown(console, desk):
    seen = []
    desk.snapshot = seen.append
    console.frame = plain_shot(1, 2)
    press(console, "Space")
    press(console, "p")
    assert console.settings.frozen
    assert seen == [console.frame]


@pytest.mark.slow
def test_notices_go_after_a_moment(console):
    assert console.settings.notice == "h shows the keys"
    press(console, "+")

    def gone():
        console.tick()
        return not console.settings.notice

    eventually(gone, 5)
