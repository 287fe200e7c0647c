"""Words of the command line that must not stand in it: every program of the machine can read that."""

from __future__ import annotations

import os
from pathlib import Path

from malle_rt.errors import ConfigError

__all__ = ["revealed"]


def revealed(word: str) -> str:
    """The word; of "@FILE" the file's first line, of "env:NAME" the environment variable.

    Raises:
        ConfigError: there is no such file or variable, or it is empty.
    """
    if word.startswith("env:"):
        name = word.removeprefix("env:")
        found = os.environ.get(name, "")
        if not found:
            raise ConfigError(
                f"the environment has no variable {name}, or it is empty. Set and export it first"
            )
        return found
    if word.startswith("@"):
        path = Path(word[1:])
        try:
            found = next(iter(path.read_text().splitlines()), "").strip()
        except (OSError, UnicodeDecodeError) as exc:
            raise ConfigError(f"{path} cannot be read for {word} ({exc})") from exc
        if not found:
            raise ConfigError(f"the first line of {path} is empty: write the token or the address there")
        return found
    return word
