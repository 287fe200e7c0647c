"""Names for files that nobody named: the time of day, and never one that is there already."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from pathlib import Path

__all__ = ["free_stem"]

_lock = threading.Lock()
# The name given last and how often: its file may not be there yet, since files appear when they are finished.
_given = ("", 0)


def free_stem(folder: Path, endings: Iterable[str]) -> str:
    """A name such as "malle-rt-20261122-153045", with "-2" and so on behind it where that is taken.

    Args:
        folder: where it must be free.
        endings: what will follow the name; it is free with each of them.
    """
    global _given
    endings = tuple(endings)
    base = time.strftime("malle-rt-%Y%m%d-%H%M%S")
    with _lock:
        number = _given[1] + 1 if _given[0] == base else 1
        while _is_taken(folder, stem := base if number == 1 else f"{base}-{number}", endings):
            number += 1
        _given = (base, number)
    return stem


def _is_taken(folder: Path, stem: str, endings: Iterable[str]) -> bool:
    return any((folder / f"{stem}{ending}").exists() for ending in endings)
