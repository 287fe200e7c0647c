"""What MP4 and MOV say of a picture in boxes that PyAV neither tells nor writes: clean aperture, 3D, spheres.

They are copied byte for byte from the track of one file to that of another.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

__all__ = ["PictureBoxes", "clean_aperture", "insert_boxes", "picture_boxes", "remove_tracks"]

log = logging.getLogger(__name__)

# In the sample description of the track: clean aperture, 3D and spherical video (V2).
_OF_PICTURES = (b"clap", b"st3d", b"sv3d")
# In the track: Google's spherical video V1.
_SPHERE_V1 = bytes.fromhex("ffcc8263f8554a938814587a02521fdd")
_TO_TABLE = (b"mdia", b"minf", b"stbl", b"stsd")
_TABLE_HEAD = 8  # version, number of entries
_SIZE = 24  # where width and height are in a description of pictures
_PICTURE_HEAD = 78  # fixed fields of a description of pictures
_LARGEST = 64 << 20  # bytes of an index that is read
_MOST = 100_000  # boxes of a file that are looked at


@dataclass(frozen=True, kw_only=True)
class PictureBoxes:
    """Whole boxes, as bytes, of one track of pictures.

    Attributes:
        track: of the track itself.
        description: of its sample description.
    """

    track: bytes = b""
    description: bytes = b""

    @property
    def empty(self) -> bool:
        """Whether there are none."""
        return not self.track and not self.description

    @property
    def clean_aperture(self) -> bool:
        """Whether a part of the picture is named that shall be shown."""
        return any(box.kind == b"clap" for box in _boxes(self.description, 0, len(self.description)))

    @property
    def spherical(self) -> bool:
        """Whether they say that the picture is a sphere."""
        return bool(self.track) or b"sv3d" in self.description

    @property
    def stereo(self) -> bool:
        """Whether they say how two views are packed into the picture."""
        return b"st3d" in self.description or b"StereoMode" in self.track

    def without_clean_aperture(self) -> PictureBoxes:
        """The same for a picture of another size."""
        return PictureBoxes(track=self.track, description=_without(self.description, {b"clap"}))


def clean_aperture(size: tuple[int, int], left: int, top: int, right: int, bottom: int) -> bytes:
    """The box that says which part of a picture shall be shown; empty where no pixel of it is left.

    Args:
        size: (width, height) of the whole picture.
        left: pixels that are not shown at this side; likewise the others.
        top: likewise.
        right: likewise.
        bottom: likewise.
    """
    width, height = size[0] - left - right, size[1] - top - bottom
    if width <= 0 or height <= 0:
        return b""
    # Four fractions: width, height, and how far its middle lies right of and below the picture's.
    return struct.pack(">I4s2I2IiIiI", 40, b"clap", width, 1, height, 1, left - right, 2, top - bottom, 2)


def picture_boxes(path: Path, track: int) -> PictureBoxes:
    """The boxes of a track; empty ones where there are none, or the file is not as expected.

    Args:
        path: of an MP4 or MOV file.
        track: its number in the file (FFmpeg's ``stream.id``).
    """
    try:
        with path.open("rb") as file:
            moov = _read_moov(file)[1]
        *_, trak = _track(moov, track)
        *_, entry = _description(moov, track)
        in_track = [
            moov[box.start : box.end]
            for box in _boxes(moov, trak.content, trak.end)
            if box.kind == b"uuid" and moov[box.content :].startswith(_SPHERE_V1)
        ]
        in_entry = [
            moov[box.start : box.end]
            for box in _boxes(moov, entry.content + _PICTURE_HEAD, entry.end)
            if box.kind in _OF_PICTURES and not _is_whole(moov, box, entry)
        ]
    except (OSError, ValueError, struct.error) as exc:
        log.debug("%s: no boxes of track %d (%s)", path, track, exc)
        return PictureBoxes()
    return PictureBoxes(track=b"".join(in_track), description=b"".join(in_entry))


def insert_boxes(path: Path, track: int, boxes: PictureBoxes) -> bool:
    """Write boxes into a finished file whose index is its last box, so that nothing else moves; False: it is not.

    Raises:
        OSError: it cannot be written.
    """

    def inserted(moov: bytes) -> bytes:
        entry = _description(moov, track)
        there = {box.kind for box in _boxes(moov, entry[-1].content + _PICTURE_HEAD, entry[-1].end)}
        # From the back, so that what lies before stays where it is.
        changed = _replaced(moov, _track(moov, track), boxes.track)
        return _replaced(changed, entry, _without(boxes.description, there))

    return _rewrite(path, inserted)


def remove_tracks(path: Path, tracks: Iterable[int]) -> bool:
    """Take tracks out of a finished file's index, as ``insert_boxes`` writes it; those that are not there are ignored.

    FFmpeg writes an empty track beside each cover picture where a file was in fragments before.

    Raises:
        OSError: it cannot be written.
    """

    def removed(moov: bytes) -> bytes:
        for number in tracks:
            try:
                around = _track(moov, number)
            except ValueError:
                continue
            moov = moov[: around[-1].start] + moov[around[-1].end :]
            moov = struct.pack(">I", len(moov)) + moov[4:]
        return moov

    return _rewrite(path, removed)


def _rewrite(path: Path, edit: Callable[[bytes], bytes]) -> bool:
    """Change the index of a file where it is the last box; False: it is not, and nothing was changed."""
    with path.open("r+b") as file:
        try:
            offset, moov = _read_moov(file)
            if offset + len(moov) != file.seek(0, 2):
                return False
            changed = edit(moov)
        except (ValueError, struct.error) as exc:
            log.debug("%s: its index cannot be changed (%s)", path, exc)
            return False
        file.seek(offset)
        file.write(changed)
        file.truncate()
    return True


class _Box(NamedTuple):
    kind: bytes
    start: int
    content: int
    end: int


def _read_moov(file: BinaryIO) -> tuple[int, bytes]:
    """Where the index begins in the file, and all of it."""
    offset = 0
    for _ in range(_MOST):
        file.seek(offset)
        head = file.read(16)
        if len(head) < 8:
            break
        size, kind = struct.unpack(">I4s", head[:8])
        if kind == b"moov":
            if not 8 <= size <= _LARGEST:
                raise ValueError(f"an index of {size} bytes")
            file.seek(offset)
            return offset, file.read(size)
        if size == 1:
            size = struct.unpack(">Q", head[8:])[0]
        if size < 8:
            break
        offset += size
    raise ValueError("no index")


def _boxes(data: bytes, start: int, end: int) -> Iterator[_Box]:
    """Each box between two places."""
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, start)
        if not 8 <= size <= end - start:
            return
        yield _Box(kind, start, start + 8, start + size)
        start += size


def _is_whole(moov: bytes, box: _Box, entry: _Box) -> bool:
    """Whether a clean aperture is all of the picture, as cameras and FFmpeg write it."""
    if box.kind != b"clap":
        return False
    width, height = struct.unpack_from(">2H", moov, entry.content + _SIZE)
    across, per_x, down, per_y, right, _, below, _ = struct.unpack_from(">2I2I2i2i", moov, box.content)
    return (across, down, right, below) == (width * per_x, height * per_y, 0, 0)


def _without(data: bytes, kinds: set[bytes]) -> bytes:
    return b"".join(data[box.start : box.end] for box in _boxes(data, 0, len(data)) if box.kind not in kinds)


def _first(data: bytes, start: int, end: int, kind: bytes) -> _Box:
    found = next((box for box in _boxes(data, start, end) if box.kind == kind), None)
    if found is None:
        raise ValueError(f"no {kind!r}")
    return found


def _track(moov: bytes, track: int) -> list[_Box]:
    """The index and the track in it."""
    for box in _boxes(moov, 8, len(moov)):
        if box.kind == b"trak":
            head = _first(moov, box.content, box.end, b"tkhd").content
            place = head + (20 if moov[head] == 1 else 12)
            if struct.unpack_from(">I", moov, place)[0] == track:
                return [_Box(b"moov", 0, 8, len(moov)), box]
    raise ValueError(f"no track {track}")


def _description(moov: bytes, track: int) -> list[_Box]:
    """The first sample description of the track, and all boxes around it, outermost first."""
    around = _track(moov, track)
    for kind in _TO_TABLE:
        around.append(_first(moov, around[-1].content, around[-1].end, kind))
    table = around[-1]
    entry = next(_boxes(moov, table.content + _TABLE_HEAD, table.end), None)
    if entry is None:
        raise ValueError("no sample description")
    return [*around, entry]


def _replaced(moov: bytes, around: list[_Box], new: bytes) -> bytes:
    """The index with bytes at the end of the innermost of the boxes, all of which grow."""
    place = around[-1].end
    changed = bytearray(moov[:place] + new + moov[place:])
    for box in around:
        size = struct.unpack_from(">I", changed, box.start)[0]
        struct.pack_into(">I", changed, box.start, size + len(new))
    return bytes(changed)
