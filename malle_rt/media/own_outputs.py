"""How outputs of our own are told from other films: by their names, and by a mark in the file.

The mark says from which source and with which options a file was made, so that a second run of the same command
knows what it has done already.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer, OutputContainer

from malle_rt.errors import SourceError
from malle_rt.media.opening import is_attached_picture, open_file
from malle_rt.media.verify import ends_where_it_says

__all__ = [
    "Mark",
    "clean_name",
    "difference_of",
    "has_own_name",
    "options_digest",
    "put_mark",
    "read_mark",
    "read_mark_beside",
    "source_digest",
    "write_mark_beside",
]

# Containers that FFmpeg can write, by what files are called.
_WRITABLE = frozenset({".mp4", ".mkv", ".mov", ".m4v", ".webm", ".avi", ".ts", ".nut"})
_OWN_NAME = re.compile(r".*\.(clean|partial(-\d+)?)\.[^.]+", re.DOTALL)
_MARK = re.compile(r"malle-rt(?: ([0-9a-f]{10}) ([0-9a-f]{10}))?")
# Where a container's own metadata can hold the mark: what FFmpeg calls the field when it writes the file. Nothing of
# the film's own stands there. Of a MOV it is the video track that has room, for 31 characters.
_FIELDS = {"mp4": "encoding_tool", "ipod": "encoding_tool"}
_FIELDS |= dict.fromkeys(("matroska", "webm", "nut", "flv"), "malle_rt")
_READ = ("malle_rt", "encoder", "encoding_tool")
_SAMPLE = 1 << 20  # bytes at the beginning, in the middle and at the end that stand for a source's content


@dataclass(frozen=True, kw_only=True)
class Mark:
    """What an output says of its making; both empty: it may be a part only, and says nothing more than whose it is.

    Attributes:
        source: ``source_digest`` of what it was made from.
        options: ``options_digest`` of what it was made with.
    """

    source: str = ""
    options: str = ""

    def __str__(self) -> str:
        return f"malle-rt {self.source} {self.options}" if self.source else "malle-rt"


def clean_name(source: Path) -> str:
    """The name of the result for a source: NAME.clean, and the extension of a container that can be written."""
    suffix = source.suffix if source.suffix.lower() in _WRITABLE else ".mkv"
    return f"{source.stem}.clean{suffix}"


def has_own_name(path: Path) -> bool:
    """Whether the file is called as our results are, or what is left of a run that was ended early."""
    return _OWN_NAME.fullmatch(path.name) is not None


def source_digest(path: Path) -> str:
    """10 hex digits that stand for a file's content: its size, and three samples of it.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.blake2b(digest_size=5)
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        digest.update(str(size).encode())
        for begin in (0, max(0, size // 2 - _SAMPLE // 2), max(0, size - _SAMPLE)):
            file.seek(begin)
            digest.update(file.read(_SAMPLE))
    return digest.hexdigest()


def options_digest(options: dict[str, Any]) -> str:
    """10 hex digits that stand for options of any kind that has a text."""
    text = json.dumps(options, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=5).hexdigest()


def put_mark(container: OutputContainer, video: Any, mark: Mark) -> bool:
    """Have a file that is about to be written say what it is.

    Args:
        container: of the output, its header not yet written.
        video: its encoded track.
        mark: what to say.

    Returns:
        False where files of this kind cannot.
    """
    name = container.format.name
    if name == "mov":
        video.metadata["encoder"] = str(mark)
        return True
    if name in _FIELDS:
        container.metadata[_FIELDS[name]] = str(mark)
        return True
    return False


def read_mark(container: InputContainer) -> Mark | None:
    """What an open file says of its making; None: it is none of ours, or its container cannot say it."""
    tracks = [stream.metadata for stream in container.streams.video if not is_attached_picture(stream)]
    for metadata in (container.metadata, *tracks):
        for key, value in metadata.items():
            found = _MARK.fullmatch(value) if key.lower() in _READ else None
            if found:
                return Mark(source=found[1] or "", options=found[2] or "")
    return None


def write_mark_beside(output: Path, mark: Mark) -> None:
    """Say it in a small file beside an output whose container cannot.

    Raises:
        OSError: it cannot be written.
    """
    _beside(output).write_text(f"{mark}\n{output.stat().st_size}\n")


def read_mark_beside(output: Path) -> Mark | None:
    """What ``write_mark_beside`` said; None where there is nothing, or the output is another one by now."""
    try:
        text, size = _beside(output).read_text().splitlines()[:2]
        found = _MARK.fullmatch(text)
        if found is None or int(size) != output.stat().st_size:
            return None
    except (OSError, ValueError):
        return None
    return Mark(source=found[1] or "", options=found[2] or "")


def difference_of(output: Path, wanted: Mark) -> str:
    """What makes a file another one than a run would; "" where nothing does."""
    try:
        with open_file(output) as container:
            found = read_mark(container) or read_mark_beside(output)
            if found is None:
                return "was not made by malle-rt"
            if not ends_where_it_says(container):
                return "is not whole"
    except (av.error.FFmpegError, OSError, ValueError, IndexError, SourceError):
        return "cannot be read"
    if not found.source or not wanted.source:
        return "does not say what it was made from"
    if found.source != wanted.source:
        return "was made from another source"
    return "" if found.options == wanted.options else "was made with other options or by another version"


def _beside(output: Path) -> Path:
    return output.with_name(f".{output.name}.malle-rt")
