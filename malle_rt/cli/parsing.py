"""Options before, between and behind the names of files."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

__all__ = ["CommandParser"]


class CommandParser(argparse.ArgumentParser):
    """Takes every mix of options and positional arguments.

    argparse alone settles all positional arguments at the first of them, so that an optional second one that comes
    behind an option is "unrecognized"; and an option with an optional value takes whatever follows. Here the file's
    name in ``--deinterlace in.mp4`` is no value, since the option's type refuses it. What stands behind ``--`` is a
    file, whatever it begins with.
    """

    has_room: Callable[[argparse.Namespace], bool] = staticmethod(lambda _: True)
    """Whether a command can do with all the files that were found."""
    _within = False  # before Python 3.12, the intermixed parser calls the plain one by its public name

    def parse_known_args(  # type: ignore[override]  # the stub has overloads for namespaces of other types
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """As argparse's."""
        if self._within:
            return super().parse_known_args(args, namespace)
        self._within = True
        try:
            given = _files_behind_dashes(sys.argv[1:] if args is None else list(args))
            apart = self._without_values(given)
            found, rest = self.parse_known_intermixed_args(apart, namespace)
            # Where there was no place for it, let the option say what it expects.
            if apart != given and (rest or not self.has_room(found)):
                found, rest = self.parse_known_intermixed_args(given, namespace)
            self._explain(rest)
            return found, rest
        finally:
            self._within = False

    def _explain(self, rest: list[str]) -> None:
        """End with the option that an unknown one may be meant for."""
        for word in rest:
            name = word.partition("=")[0]
            known = [each for each in self._option_string_actions if each.startswith("--")]
            close = difflib.get_close_matches(name, known, 1, 0.6) if name.startswith("--") else []
            if close:
                self.error(f"unrecognized arguments: {name}. Did you mean {close[0]}?")

    def _without_values(self, args: list[str]) -> list[str]:
        """The arguments, with ``--option=DEFAULT`` for options whose optional value cannot be what follows."""
        apart = list(args)
        for index, (name, following) in enumerate(pairwise(args)):
            action = self._option_string_actions.get(name)
            if action is None or action.nargs != "?" or following.startswith("-"):
                continue
            if not _takes(action.type, following):
                apart[index] = f"{name}={action.const}"
        return apart


def _files_behind_dashes(args: list[str]) -> list[str]:
    """Without ``--``, which argparse's intermixed parser forgets: files behind it get a form that is no option."""
    if "--" not in args:
        return args
    end = args.index("--")
    return args[:end] + [
        f"./{each}" if each.startswith("-") and each != "-" else each for each in args[end + 1 :]
    ]


def _takes(kind: Callable[[str], Any] | argparse.FileType | str | None, text: str) -> bool:
    """Whether the type of an option takes a text."""
    if not callable(kind):
        return True
    try:
        kind(text)
    except (argparse.ArgumentTypeError, TypeError, ValueError):
        return False
    return True
