"""Options from elsewhere than the command line: a file, the environment, and presets by use.

What is nearer to the command counts: the command line, then the environment, then the file, then the program. A preset
has the rank of where it is named, below what else is said there. docs/settings.md is what users read of it.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from malle_rt.errors import ConfigError

__all__ = ["PRESETS", "Settings", "config_file", "parse_with_settings"]

# What each use is cleaned with; docs/settings.md says where the figures come from. Never the encoder's settings: which
# ones fit depends on the output.
PRESETS: dict[str, dict[str, Any]] = {
    "phone": {"strength": "3"},
    "webcam": {"strength": "8"},
    "cctv": {"strength": "9"},
    "tape": {"strength": "auto", "deinterlace": "field"},
    "grain": {"strength": "light", "mix": 0.7},
}

# Their options may stand outside of a table, or in a variable without the command's name: they are the same ones.
_VIDEO = ("transcode", "watch", "webcam", "analyze")
_PREFIX = "MALLE_RT_"
_FILE = f"{_PREFIX}CONFIG"
_LARGEST = 1 << 20  # bytes of a file
_YES, _NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """The options of one command that come from elsewhere.

    Attributes:
        values: by their names in the parsed options.
        origins: where each comes from, in words.
    """

    values: Mapping[str, Any]
    origins: Mapping[str, str]


def config_file() -> Path:
    """Where the file is looked for where ``MALLE_RT_CONFIG`` names no other."""
    from platformdirs import user_config_path

    return user_config_path("malle-rt", appauthor=False) / "config.toml"


def parse_with_settings(
    parser: argparse.ArgumentParser, words: Sequence[str]
) -> tuple[argparse.Namespace, Settings]:
    """Parse a command line, with a command in it, over what file and environment say.

    Returns:
        The options, and what in them did not come from the command line.

    Raises:
        ConfigError: what the file or the environment say cannot be, one line.
    """
    plain = parser.parse_args(words)  # usage errors and --help come before anything is read
    commands = _commands(parser)
    name = next(word for word in words if word in commands)  # behind a -v
    command = commands[name]
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for said in (_from_file(commands, name), _from_environment(commands, name)):
        _stack(command, said, values, origins)
    named = getattr(plain, "preset_for", None)
    if named is not None:
        _stack(command, {"preset_for": (named, "--preset-for")}, values, origins)
    if not values:
        return plain, Settings({}, {})
    command.set_defaults(**values)
    options = parser.parse_args(words)
    for action in command._actions:
        # argparse appends to a default. Here what stands on the command line replaces the list.
        if isinstance(action, argparse._AppendAction) and action.dest in values:
            given = getattr(options, action.dest)
            if len(given) > len(values[action.dest]):
                setattr(options, action.dest, given[len(values[action.dest]) :])
    used = {key: value for key, value in values.items() if getattr(options, key) == value}
    for key, value in used.items():
        log.info("%s = %r, from %s", key, value, origins[key])
    return options, Settings(used, {key: origins[key] for key in used})


def _stack(
    command: argparse.ArgumentParser,
    said: Mapping[str, tuple[Any, str]],
    values: dict[str, Any],
    origins: dict[str, str],
) -> None:
    """Put what one place says over what is there, its preset first."""
    actions = _actions(command)
    if "preset_for" in said:
        name = said["preset_for"][0]
        for key, value in PRESETS[name].items():
            if key in actions:
                values[key], origins[key] = value, f"the preset for {name}"
    for key, (value, origin) in said.items():
        values[key], origins[key] = value, origin


def _commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    return next(
        dict(action.choices) for action in parser._actions if isinstance(action, argparse._SubParsersAction)
    )


def _actions(command: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """The options of a command that can be said elsewhere, by their names with underscores."""
    return {
        action.dest: action
        for action in command._actions
        if action.option_strings and not isinstance(action, argparse._HelpAction)
    }


def _from_file(commands: Mapping[str, argparse.ArgumentParser], name: str) -> dict[str, tuple[Any, str]]:
    """What the file says for a command: the value and where it stands, by name. The whole file is checked."""
    path, table = _table()
    if path is None:
        return {}
    said: dict[str, tuple[Any, str]] = {}
    outside = {key: value for key, value in table.items() if not isinstance(value, dict)}
    known = {key for each in _VIDEO if each in commands for key in _actions(commands[each])}
    for key in outside:
        _require(_plain(key), known, f"{path}: no option {key!r} of {', '.join(_VIDEO)}", _spelled)
    for each, rows in table.items():
        if isinstance(rows, dict):
            _require(each, set(commands), f"{path}: no command [{each}]", str)
            for key in rows:
                _require(
                    _plain(key),
                    set(_actions(commands[each])),
                    f"{path}: [{each}] has no option {key!r}",
                    _spelled,
                )
    own = table.get(name, {})
    actions = _actions(commands[name])
    for rows in (outside if name in _VIDEO else {}, own):
        for key, value in rows.items():
            if _plain(key) in actions:
                said[_plain(key)] = _converted(actions[_plain(key)], value, f"{path}: {key}"), str(path)
    return said


def _table() -> tuple[Path | None, dict[str, Any]]:
    """The file, None where there is none, and what it holds."""
    chosen = os.environ.get(_FILE)
    if chosen == "":
        return None, {}
    path = Path(chosen) if chosen is not None else config_file()
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST + 1)
    except FileNotFoundError:
        if chosen is None:
            return None, {}
        raise ConfigError(f"{_FILE}: no file {path}") from None
    except OSError as exc:
        raise ConfigError(f"{path}: the settings cannot be read: {exc.strerror}") from exc
    if len(text) > _LARGEST:
        raise ConfigError(f"{path}: settings of at most {_LARGEST} bytes are read, this has more")
    # The standard library reads TOML since Python 3.11; tomli is the same module for 3.10.
    toml: Any = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        return path, toml.loads(text.decode())
    except (toml.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path}: this is no TOML: {exc}") from exc


def _from_environment(
    commands: Mapping[str, argparse.ArgumentParser], name: str
) -> dict[str, tuple[Any, str]]:
    """What ``MALLE_RT_OPTION`` and ``MALLE_RT_COMMAND_OPTION`` say for a command; empty ones say nothing."""
    known: dict[str, tuple[str | None, str]] = {_FILE: (None, "")}
    for each in commands:
        for key in _actions(commands[each]):
            if each in _VIDEO:
                known.setdefault(f"{_PREFIX}{key.upper()}", (None, key))
            known[f"{_PREFIX}{each.upper()}_{key.upper()}"] = each, key
    said: dict[str, tuple[Any, str]] = {}
    actions = _actions(commands[name])
    found = [variable for variable in os.environ if variable.startswith(_PREFIX) and os.environ[variable]]
    for variable in sorted(found, key=lambda each: known.get(each, (None, ""))[0] is not None):
        _require(variable, set(known), f"the environment's {variable} is no setting", str)
        command, key = known[variable]
        if variable != _FILE and key in actions and (command == name or (command is None and name in _VIDEO)):
            said[key] = _converted(actions[key], os.environ[variable], variable), variable
    return said


def _require(key: str, known: set[str], text: str, spelled: Any) -> None:
    if key not in known:
        close = difflib.get_close_matches(key, sorted(known), 1, 0.6)
        hint = f". Did you mean {spelled(close[0])}?" if close else ". docs/settings.md has the list"
        raise ConfigError(text + hint)


def _plain(key: str) -> str:
    return key.replace("-", "_")


def _spelled(key: str) -> str:
    return key.replace("_", "-")


def _converted(action: argparse.Action, value: Any, origin: str) -> Any:
    """A value as the parser would have made it of words.

    Raises:
        ConfigError: it is none that the option takes.
    """
    if isinstance(action, argparse._StoreTrueAction | argparse.BooleanOptionalAction):
        return _flag(value, origin)
    if isinstance(action, argparse._AppendAction) or action.nargs in ("+", "*"):
        words = value if isinstance(value, list) else [value]
        return [_one(action, each, origin) for each in words]
    if action.nargs == "?" and (isinstance(value, bool) or value in _YES[1:] + _NO[1:]):
        return _const(action) if _flag(value, origin) else None
    return _one(action, value, origin)


def _const(action: argparse.Action) -> Any:
    const = action.const
    return action.type(const) if callable(action.type) and isinstance(const, str) else const


def _flag(value: Any, origin: str) -> bool:
    if isinstance(value, bool):
        return value
    if str(value).lower() in _YES + _NO:
        return str(value).lower() in _YES
    raise ConfigError(f"{origin}: expected true or false, got {value!r}")


def _one(action: argparse.Action, value: Any, origin: str) -> Any:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        expected = "a list of texts" if isinstance(action, argparse._AppendAction) else "a text or a number"
        raise ConfigError(f"{origin}: expected {expected}, got {value!r}")
    try:
        made = action.type(str(value)) if callable(action.type) else str(value)
    except (argparse.ArgumentTypeError, ConfigError) as exc:
        raise ConfigError(f"{origin}: {exc}") from None
    except (TypeError, ValueError):
        kind = "whole number" if action.type is int else "number"
        raise ConfigError(f"{origin}: expected a {kind}, got {value!r}") from None
    if action.choices is not None and made not in action.choices:
        raise ConfigError(f"{origin}: expected {' or '.join(map(str, action.choices))}, got {value!r}")
    return made
