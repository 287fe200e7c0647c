"""How much memory a run needs and may have, so that one that cannot fit is refused before it begins."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

from malle_rt.errors import ConfigError

__all__ = ["available_memory", "require_memory"]

# Bytes for each pixel of a picture: the network's layers, decoded pictures that wait, the encoder's. Measured:
# 158 at 8192x4320 with up to 8 pictures waiting between two stages; a run that has a little less than it likes works.
_PER_PIXEL = 110


def require_memory(width: int, height: int) -> None:
    """Check that pictures of this size fit.

    Raises:
        ConfigError: they need more memory than there is; the text has both figures.
    """
    needed, there = width * height * _PER_PIXEL, available_memory()
    if there is not None and needed > there:
        raise ConfigError(
            f"{width}x{height} needs about {needed / 2**30:.1f} GiB of memory, {there / 2**30:.1f} GiB can be had. "
            "Close other programs, raise the limit (ulimit -v, the container's), or take a smaller video"
        )


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
    if sys.platform == "win32":
        return None
    import resource

    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    if most == resource.RLIM_INFINITY:
        return None
    with suppress(OSError, ValueError, IndexError):
        return most - int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    return most
