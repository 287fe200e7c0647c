"""Profiles: which frame sizes an engine accepts, by name ("720p") or as one fixed size ("1280x720")."""

from __future__ import annotations

import importlib
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from malle_rt.contract import MULTIPLE
from malle_rt.cuda.launches import padded_size
from malle_rt.errors import ConfigError
from malle_rt.models import engines_folder

__all__ = ["PHOTO", "Profile", "Size", "load_profile", "profile_for", "profile_names"]

LARGEST = 8192  # pixels along one side: what the portable graph was exported for
Size = tuple[int, int]
_FIXED = re.compile(r"([1-9]\d{0,4})x([1-9]\d{0,4})")


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Frame sizes that one engine accepts; each a (width, height) of the luma in pixels, multiples of 8.

    Attributes:
        name: as a user writes it.
        min: smallest.
        opt: the one it is tuned for.
        max: largest; the engine's memory is reserved for it.
    """

    name: str
    min: Size
    opt: Size
    max: Size

    def __post_init__(self) -> None:
        for field in ("min", "opt", "max"):
            for side in getattr(self, field):
                if side % MULTIPLE or not MULTIPLE <= side <= LARGEST:
                    raise ConfigError(
                        f"profile {self.name}: {field} must be multiples of {MULTIPLE} up to {LARGEST}, got {side}"
                    )
        for low, middle, high in zip(self.min, self.opt, self.max, strict=True):
            if not low <= middle <= high:
                raise ConfigError(
                    f"profile {self.name}: want min <= opt <= max, got {self.min}, {self.opt}, {self.max}"
                )

    def widened(self, multiple: int) -> Profile:
        """The same with sides that are multiples of this."""

        def wide(size: Size) -> Size:
            return -(-size[0] // multiple) * multiple, -(-size[1] // multiple) * multiple

        return Profile(name=self.name, min=wide(self.min), opt=wide(self.opt), max=wide(self.max))

    def accepts(self, width: int, height: int) -> bool:
        """Whether a frame of this size, padded, fits."""
        sizes = zip(self.min, _padded(width, height), self.max, strict=True)
        return all(low <= side <= high for low, side, high in sizes)

    @property
    def sizes(self) -> str:
        """The three sizes as text, for an engine's identity: two profiles of one name may differ."""
        return " ".join(f"{width}x{height}" for width, height in (self.min, self.opt, self.max))


# Tiles of photographs, which are all that a network for them is given.
PHOTO = Profile(name="photo", min=(64, 64), opt=(768, 768), max=(768, 768))


def profile_names() -> list[str]:
    """The named profiles, smallest first."""
    return [profile.name for profile in _named()]


def load_profile(name: str) -> Profile:
    """A profile by its name, or one of a fixed size.

    Args:
        name: "720p", as ``profile_names`` gives it, "photo", or "WIDTHxHEIGHT"; the latter is padded as frames are.

    Raises:
        ConfigError: no such profile, or a size that no engine takes.
    """
    if fixed := _FIXED.fullmatch(name):
        return _fixed(int(fixed[1]), int(fixed[2]))
    if name == PHOTO.name:
        return PHOTO
    path = _folder() / f"{name}.toml"
    if name not in {entry.stem for entry in _folder().glob("*.toml")}:
        raise ConfigError(
            f"no profile {name!r}; there are: {', '.join((*profile_names(), PHOTO.name))}, or a size such as 1280x720"
        )
    return _read(path)


def profile_for(width: int, height: int) -> Profile:
    """The smallest named profile that takes a frame of this size; where none does, one of just this size.

    Raises:
        ConfigError: larger than any engine takes.
    """
    for profile in _named():
        if profile.accepts(width, height):
            return profile
    return _fixed(width, height)


def _padded(width: int, height: int) -> Size:
    rows, columns = padded_size(width, height)
    return columns, rows


def _fixed(width: int, height: int) -> Profile:
    size = _padded(width, height)
    return Profile(name=f"{size[0]}x{size[1]}", min=size, opt=size, max=size)


def _named() -> list[Profile]:
    profiles = [_read(path) for path in _folder().glob("*.toml")]
    return sorted(profiles, key=lambda profile: profile.max[0] * profile.max[1])


def _folder() -> Path:
    return engines_folder() / "profiles"


def _read(path: Path) -> Profile:
    # The standard library reads TOML since Python 3.11; tomli is the same module for 3.10.
    toml: Any = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        fields = toml.loads(path.read_text())
    except toml.TOMLDecodeError as exc:
        raise ConfigError(f"profile {path} is not TOML: {exc}") from exc
    wanted = {"min", "opt", "max"}
    if set(fields) != wanted:
        raise ConfigError(f"profile {path}: want exactly {sorted(wanted)}, got {sorted(fields)}")
    return Profile(name=path.stem, **{field: _size(path, field, value) for field, value in fields.items()})


def _size(path: Path, field: str, value: object) -> Size:
    # bool is an int, but true is no size.
    if isinstance(value, list) and len(value) == 2 and all(type(side) is int for side in value):
        return value[0], value[1]
    raise ConfigError(f"profile {path}: {field} must be [width, height], got {value!r}")
