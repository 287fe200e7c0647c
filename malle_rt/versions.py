"""Versions of the packages we stand on: the range that was tested, as setup.cfg declares it, and what is installed."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version

from malle_rt.errors import ConfigError

__all__ = ["TESTED", "check_versions"]

# From the first (tested) to before the last (not tested), by the name on the package index. OpenVINO has none: it is
# pinned, for the operator's sake, and the operator says when it finds another.
TESTED = {
    "numpy": ("1.26", "3"),
    "av": ("17.1", "20"),
    "opencv-python": ("4.9", "6"),
    "pillow": ("11.3", "14"),
    "aiohttp": ("3.9", "4"),
}


def check_versions() -> None:
    """See to it that nothing installed is of a version that this program was not tested with.

    What is not there at all, or came without metadata, is left to whoever needs it.

    Raises:
        ConfigError: a version outside its range; what it is, what is expected and how to get that.
    """
    for name, (first, last) in TESTED.items():
        try:
            found = version(name)
        except PackageNotFoundError:
            continue
        if not _numbers(first) <= _numbers(found) < _numbers(last):
            raise ConfigError(
                f"{name} {found} is installed, and malle-rt works with {first} and newer, before {last}. "
                f"Run: python -m pip install '{name}>={first},<{last}'"
            )


def _numbers(text: str) -> tuple[int, ...]:
    """The release, without what marks builds and candidates: "20.0rc1" is (20, 0)."""
    found = re.match(r"\d+(\.\d+)*", text)
    return tuple(int(part) for part in found[0].split(".")) if found else (0,)
