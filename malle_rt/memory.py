"""How much memory a run needs and may have: one that cannot fit is refused before it begins; what others die of."""

from __future__ import annotations

import errno
import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from malle_rt.errors import ConfigError, OutOfDeviceMemory

__all__ = ["Reservations", "available_memory", "lacks_memory", "require_libraries", "require_memory"]

# Bytes for each pixel of a picture: the network's layers, decoded pictures that wait, the encoder's. Measured:
# 158 at 8192x4320 with up to 8 pictures waiting between two stages; a run that has a little less than it likes works.
_PER_PIXEL = 110
# Bytes of addresses that stacks, allocators and libraries still to be loaded claim, most of which is never memory.
# Measured on two cores, between the opening of the file and the end: 400 to 500 MiB. Without them a library dies.
_CLAIMED = 512 << 20
_SCARCE = (
    64 << 20
)  # bytes: a larger piece is not to be had where the most that was ever taken is so near to the limit
_LOOK_AGAIN = 1.0  # seconds: other programs take and give back memory, too
_WORDS = re.compile(
    r"bad_alloc|can't alloc|(?:failed to|cannot) (?:allocate|map)|can't start new thread", re.I
)


def require_libraries() -> None:
    """Check that the libraries can be loaded at all; before numpy is, whose threads may wait for ever for memory.

    Raises:
        ConfigError: the process may use fewer addresses than they claim; the text has both figures.
    """
    there = _address_space()
    if there is not None and there < _CLAIMED:
        raise ConfigError(
            f"libraries alone claim {_CLAIMED / 2**30:.1f} GiB of memory's addresses, {there / 2**30:.1f} GiB can be "
            "had. Raise the limit (ulimit -v)"
        )


def require_memory(width: int, height: int) -> None:
    """Check that pictures of this size fit.

    Raises:
        ConfigError: they need more memory than there is; the text has both figures.
    """
    pictures = width * height * _PER_PIXEL
    addresses = _address_space()
    bounds = [(pictures, available_memory()), (pictures + _CLAIMED, addresses)]
    for needed, there in bounds:
        if there is not None and needed > there:
            raise ConfigError(
                f"{width}x{height} needs about {needed / 2**30:.1f} GiB of memory, {there / 2**30:.1f} GiB can be "
                "had. Close other programs, raise the limit (ulimit -v, the container's), or take a smaller video"
            )


class Reservations:
    """Memory that threads take at once: who finds too little waits for the others to end."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._taken: dict[int, int] = {}  # bytes, by thread

    def take(self, needed: int) -> int | None:
        """Reserve bytes for this thread until ``give_back``.

        What others have reserved is counted as if they had taken none of it yet.

        Returns:
            None: they are reserved; else how many could be had, which is too little even for this thread alone.
        """
        with self._changed:
            self._taken.pop(threading.get_ident(), None)
            while True:
                there = available_memory()
                if there is None or needed + sum(self._taken.values()) <= there:
                    self._taken[threading.get_ident()] = needed
                    return None
                if not self._taken:
                    return there
                self._changed.wait(_LOOK_AGAIN)

    def give_back(self) -> None:
        """This thread has ended its work. May be called twice."""
        with self._changed:
            self._taken.pop(threading.get_ident(), None)
            self._changed.notify_all()


def lacks_memory(error: BaseException) -> bool:
    """Whether a failure is for want of memory, which libraries tell in many ways; not of a GPU's."""
    for each in _causes(error):
        if isinstance(each, ConfigError | OutOfDeviceMemory):
            return False
        if isinstance(each, MemoryError) or (isinstance(each, OSError) and each.errno == errno.ENOMEM):
            return True
        if _WORDS.search(str(each)) or ("external library" in str(each) and _is_spent()):
            return True
    return False


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def available_memory() -> int | None:
    """Bytes that this process may still take: of the machine, its container and its address space; None: unknown."""
    found = [amount for amount in (_machine(), _group(), _address_space()) if amount is not None]
    return max(0, min(found)) if found else None


def _machine() -> int | None:
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None


def _group() -> int | None:
    """Of a container; what its files take in memory can be had back."""
    with suppress(OSError, ValueError):
        folder = Path("/sys/fs/cgroup")
        most = int((folder / "memory.max").read_text())
        used = int((folder / "memory.current").read_text())
        lines = (folder / "memory.stat").read_text().splitlines()
        files = next((int(line.split()[1]) for line in lines if line.startswith("inactive_file ")), 0)
        return most - used + files
    return None


def _address_space() -> int | None:
    most = _limit()
    if most is None:
        return None
    with suppress(OSError, ValueError, IndexError):
        return max(
            0, most - int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        )
    return most


def _is_spent() -> bool:
    """Whether the process has once taken nearly all that it may; FFmpeg calls an encoder's failure what it will."""
    most = _limit()
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmPeak:") and most is not None:
                return int(line.split()[1]) * 1024 > most - _SCARCE
    return False


def _limit() -> int | None:
    """Bytes of addresses that the process may use; None: as many as there are."""
    if sys.platform == "win32":
        return None
    import resource

    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if most == resource.RLIM_INFINITY else most
