"""The keys of the window: their names from any window system, what they do, and what the help says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from malle_rt.live.view.console import Console

__all__ = ["key_help", "key_name", "press"]

_PLAIN = {27: "Esc", 32: "Space"}
# X11 and Wayland keysyms, as Qt and GTK give them; the second of each is the key pad's, without NumLock.
_KEYSYMS = {
    **{0xFF51: "Left", 0xFF52: "Up", 0xFF53: "Right", 0xFF54: "Down"},
    **{0xFF96: "Left", 0xFF97: "Up", 0xFF98: "Right", 0xFF99: "Down"},
    **{0xFFAB: "+", 0xFFAD: "-", 0xFF1B: "Esc"},
}
# Cocoa: NSUpArrowFunctionKey and its neighbours.
_COCOA = {0xF700: "Up", 0xF701: "Down", 0xF702: "Left", 0xF703: "Right"}
# Win32: virtual key codes in the upper half.
_WIN32 = {0x250000: "Left", 0x260000: "Up", 0x270000: "Right", 0x280000: "Down"}
Action = Callable[[Console], None]


def key_name(code: int) -> str | None:
    """Name of a key: a character (letters in lower case), "Left", "Right", "Up", "Down", "Esc" or "Space".

    Args:
        code: as ``cv2.waitKeyEx`` and ``cv2.pollKey`` give it; -1 for none.

    Returns:
        None for no key, and for keys that have no name here (Shift, function keys ...).
    """
    if code < 0:
        return None
    if code in _WIN32:
        return _WIN32[code]
    symbol = code & 0xFFFF  # GTK tells modifiers such as NumLock in the upper half
    known = _PLAIN.get(symbol) or _KEYSYMS.get(symbol) or _COCOA.get(symbol)
    if known is not None:
        return known
    return chr(symbol).lower() if 33 <= symbol < 127 else None


@dataclass(frozen=True)
class _Row:
    """Keys that belong together.

    Attributes:
        shown: how the help names them.
        meaning: what they do.
        actions: name of each key, as ``key_name`` gives it, and what it does.
    """

    shown: str
    meaning: str
    actions: dict[str, Action]


def _all(keys: tuple[str, ...], action: Action) -> dict[str, Action]:
    return dict.fromkeys(keys, action)


# "=" is "+" and "_" is "-" with the other state of Shift on many keyboards.
_TABLE = (
    _Row("s", "split view", {"s": lambda console: console.show("split")}),
    _Row("b", "both, side by side", {"b": lambda console: console.show("side")}),
    _Row("r", "raw picture", {"r": lambda console: console.show("raw")}),
    _Row("c", "clean picture", {"c": lambda console: console.show("clean")}),
    _Row(
        "mouse, Left, Right",
        "move the divider; a click holds it",
        {
            "Left": lambda console: console.shift_divider(-1),
            "Right": lambda console: console.shift_divider(1),
        },
    ),
    _Row(
        "Up, Down, +, -",
        "strength",
        {
            **_all(("Up", "+", "="), lambda console: console.change_strength(1)),
            **_all(("Down", "-", "_"), lambda console: console.change_strength(-1)),
        },
    ),
    _Row("a", "automatic strength on, off", {"a": Console.toggle_auto}),
    _Row(
        "m, n",
        "mix: more, less of the clean picture",
        {"m": lambda console: console.change_mix(1), "n": lambda console: console.change_mix(-1)},
    ),
    _Row("z", "size: next share, or automatic", {"z": Console.next_scale}),
    _Row("Space", "freeze", {"Space": Console.toggle_frozen}),
    _Row("f", "full screen", {"f": Console.toggle_full_screen}),
    _Row("p", "save the picture, raw and clean", {"p": Console.snapshot}),
    _Row("v", "record on, off", {"v": Console.toggle_recording}),
    _Row("i", "statistics", {"i": Console.toggle_overlay}),
    _Row("h, ?", "these keys", _all(("h", "?"), Console.toggle_help)),
    _Row("q, Esc", "quit", _all(("q", "Esc"), Console.quit)),
)
_ACTIONS = {key: action for row in _TABLE for key, action in row.actions.items()}


def key_help() -> tuple[tuple[str, str], ...]:
    """(keys, meaning) of every line of the help, in order."""
    return tuple((row.shown, row.meaning) for row in _TABLE)


def press(console: Console, key: str) -> None:
    """Do what the key does; nothing for a key that has no meaning."""
    action = _ACTIONS.get(key)
    if action is not None:
        action(console)
