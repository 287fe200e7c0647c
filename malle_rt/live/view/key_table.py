"""The keys of the window: one table for what they do and for what the help says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from malle_rt.live.view.console import Console

__all__ = ["key_help", "press"]

Action = Callable[[Console], None]


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
