"""What Matroska says of the part of a picture that shall be shown, which PyAV does not tell."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

__all__ = ["Crop", "matroska_crop"]

log = logging.getLogger(__name__)

_SEGMENT, _TRACKS, _CLUSTER = 0x18538067, 0x1654AE6B, 0x1F43B675
_TRACK, _VIDEO = 0xAE, 0xE0
_LEFT, _TOP, _RIGHT, _BOTTOM = 0x54CC, 0x54BB, 0x54DD, 0x54AA
_LARGEST = 16 << 20  # bytes of a description of tracks that is read
_MOST = 10_000  # elements that are looked at


class Crop(NamedTuple):
    """Pixels at each side of a picture that shall not be shown."""

    left: int
    top: int
    right: int
    bottom: int


class _Element(NamedTuple):
    kind: int
    start: int  # of its content
    end: int


def matroska_crop(path: Path, track: int) -> Crop | None:
    """What is to be cut off the pictures of a track; None where nothing is, or the file is not as expected.

    Args:
        path: of a Matroska or WebM file.
        track: its place among the tracks, FFmpeg's ``stream.index``.
    """
    try:
        with path.open("rb") as file:
            tracks = _read_tracks(file)
        entries = [entry for entry in _elements(tracks, 0, len(tracks)) if entry.kind == _TRACK]
        found = dict.fromkeys((_LEFT, _TOP, _RIGHT, _BOTTOM), 0)
        for video in _elements(tracks, entries[track].start, entries[track].end):
            if video.kind == _VIDEO:
                for each in _elements(tracks, video.start, video.end):
                    if each.kind in found:
                        found[each.kind] = int.from_bytes(tracks[each.start : each.end], "big")
    except (OSError, ValueError, IndexError) as exc:
        log.debug("%s: no crop of track %d (%s)", path, track, exc)
        return None
    crop = Crop(*found.values())
    return crop if any(crop) else None


def _read_tracks(file: BinaryIO) -> bytes:
    """The content of the element that describes the tracks.

    Raises:
        ValueError: there is none before the pictures.
    """
    position = 0
    for _ in range(_MOST):
        file.seek(position)
        kind, start, length = _head(file.read(12))
        if kind == _TRACKS and length is not None and length <= _LARGEST:
            file.seek(position + start)
            return file.read(length)
        if kind == _SEGMENT:
            position += start  # into it
            continue
        if kind == _CLUSTER or length is None:
            break
        position += start + length
    raise ValueError("no tracks before the pictures")


def _elements(data: bytes, start: int, end: int) -> Iterator[_Element]:
    while start < end:
        kind, content, length = _head(data[start : min(end, start + 12)])
        if length is None or start + content + length > end:
            raise ValueError("an element is longer than what it is in")
        yield _Element(kind, start + content, start + content + length)
        start += content + length


def _head(data: bytes) -> tuple[int, int, int | None]:
    """(number of the element's kind, bytes before its content, bytes of that; None: unknown) from its first bytes."""
    many = _bytes_of(data[:1], 4)
    wide = _bytes_of(data[many : many + 1], 8)
    if len(data) < many + wide:
        raise ValueError("cut off")
    ones = (1 << 7 * wide) - 1
    length = int.from_bytes(data[many : many + wide], "big") & ones
    return int.from_bytes(data[:many], "big"), many + wide, None if length == ones else length


def _bytes_of(first: bytes, most: int) -> int:
    """How many bytes a number has, from its first one: a 1 stands behind as many zeros as bytes follow."""
    count = 9 - first[0].bit_length() if first else 9
    if count > most:
        raise ValueError("not Matroska")
    return count
