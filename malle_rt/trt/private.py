"""A folder that only its user can write to. What lies there may be run: an engine is executable code."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from pathlib import Path

from malle_rt.errors import BackendError

__all__ = ["private_folder", "user_cache", "write_whole"]


def user_cache() -> Path:
    """Where this user's programs keep what can be made again: XDG_CACHE_HOME, or the platform's own place."""
    if chosen := os.environ.get("XDG_CACHE_HOME"):
        folder = Path(chosen)
        if folder.is_absolute():  # the XDG specification has relative ones ignored
            return folder
    return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")


def private_folder(folder: Path) -> Path:
    """Make the folder if need be, and see that it is this user's alone, as far as writing goes.

    Raises:
        BackendError: it cannot be made, belongs to somebody else, or others may write to it or to its parent.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for checked in (folder, folder.parent):
            _check(checked, checked.stat())
    except OSError as exc:
        raise BackendError(f"cannot use {folder} for engines: {exc.strerror or exc}") from exc
    return folder


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that appears whole or not at all, readable by its user alone."""
    handle, partial = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".partial", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(partial).replace(path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


def _check(folder: Path, found: os.stat_result) -> None:
    if not hasattr(os, "geteuid"):
        return  # Windows: the user's own profile is private by its access list
    if found.st_uid not in (os.geteuid(), 0):
        raise BackendError(
            f"{folder} belongs to another user (id {found.st_uid}): engines are executable code and are not "
            "loaded from there; set XDG_CACHE_HOME to a folder of your own"
        )
    # In a folder with the sticky bit, such as /tmp, others cannot move what is not theirs.
    if found.st_mode & 0o022 and not found.st_mode & stat.S_ISVTX:
        raise BackendError(
            f"{folder} can be written by others (mode {stat.S_IMODE(found.st_mode):o}): engines are executable "
            f"code and are not loaded from there; make it private: chmod go-w {folder}"
        )
