"""A file of the user's own as the benchmark's input."""

from __future__ import annotations

from pathlib import Path

from malle_rt.bench.plan import Size, parse_size
from malle_rt.media.file_source import FileSource

__all__ = ["size_of"]


def size_of(path: Path) -> Size:
    """Size of its pictures, rounded down to even: the clip that proves the network's work has the same.

    Raises:
        SourceError: it cannot be read.
        ConfigError: its pictures are too small.
    """
    source = FileSource(path, carry_other_streams=False)
    try:
        info = source.info
        return parse_size(f"{info.width // 2 * 2}x{info.height // 2 * 2}")
    finally:
        source.close()
