"""Numbered pictures as a video: which files a pattern means, and how FFmpeg reads them as one."""

from __future__ import annotations

import logging
import os
import re
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer

from malle_rt.errors import SourceError
from malle_rt.media.compat import open_reading

__all__ = [
    "DEFAULT_RATE",
    "OpenSequence",
    "PictureSequence",
    "find_sequence",
    "is_sequence",
    "number_pattern",
]

log = logging.getLogger(__name__)

DEFAULT_RATE = Fraction(25)  # pictures a second, as FFmpeg takes them
_NUMBER = re.compile(r"%(0(?P<digits>\d{1,2}))?d")
_WILD = re.compile(r"[*?\[]")
_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp", ".dpx")
_LINEAR = (".exr", ".hdr")


@dataclass(frozen=True)
class PictureSequence:
    """Picture files in the order of their frames.

    Attributes:
        pattern: as the user wrote it; a folder of pictures, too.
        files: at least one, all of one kind.
        numbers: of the files, by the pattern; 1, 2, 3 ... where it has no number.
    """

    pattern: str
    files: tuple[Path, ...]
    numbers: tuple[int, ...]


def is_sequence(location: str) -> bool:
    """Whether a plain location means picture files: ``frame_%04d.png``, ``frames/*.png``, or a folder of nothing else.

    A file that has such a name is that file. Hidden files of a folder do not count.
    """
    if location == "-" or "://" in location:
        return False
    path = Path(location)
    if path.is_dir():
        return _holds_pictures(path)
    named = _NUMBER.search(path.name) or _WILD.search(path.name)
    return named is not None and path.suffix.lower() in _SUFFIXES + _LINEAR and not os.path.lexists(location)


def _holds_pictures(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            shown = [each for each in entries if not each.name.startswith(".")]
            return bool(shown) and all(
                Path(each.name).suffix.lower() in _SUFFIXES + _LINEAR and each.is_file() for each in shown
            )
    except OSError:  # reading it says so
        return False


def number_pattern(path: Path) -> re.Pattern[str] | None:
    """What names match a pattern with a number, the number being the group "number"; None: it has none, or two.

    Of ``%04d`` four digits, or more that do not begin with 0; of ``%d`` no 0 in front.
    """
    parts = list(_NUMBER.finditer(path.name))
    if len(parts) != 1:
        return None
    (found,) = parts
    least = int(found["digits"] or 1)
    digits = rf"(?P<number>\d{{{least}}}|[1-9]\d{{{least},}})" if least > 1 else r"(?P<number>0|[1-9]\d*)"
    around = path.name[: found.start()], path.name[found.end() :]
    before, after = (re.escape(each.replace("%%", "%")) for each in around)
    return re.compile(before + digits + after)


def find_sequence(pattern: str) -> PictureSequence:
    """The files that a pattern means now.

    Raises:
        SourceError: there are none, they are of several kinds, or of one that is not read.
    """
    path = Path(pattern)
    if _NUMBER.search(path.name) and not path.is_dir():
        found = _numbered(path)
    else:
        there = path.glob("[!.]*") if path.is_dir() else path.parent.glob(path.name)
        files = sorted(filter(Path.is_file, there), key=lambda each: _natural(each.name))
        found = dict(enumerate(files, 1))
    if not found:
        raise SourceError(f"{pattern}: no such pictures. Check the folder and the name")
    kinds = sorted({each.suffix.lower() for each in found.values()})
    if len(kinds) > 1:
        raise SourceError(
            f"{pattern}: files of several kinds ({', '.join(kinds)}). Give a pattern for one of them"
        )
    if kinds[0] in _LINEAR:
        raise SourceError(
            f"{pattern}: {kinds[0][1:].upper()} holds linear light, which is not cleaned. "
            "Convert it to 16-bit PNG"
        )
    if kinds[0] not in _SUFFIXES:
        raise SourceError(f"{pattern}: pictures are {', '.join(_SUFFIXES)}, got {kinds[0] or 'no suffix'}")
    return PictureSequence(pattern, tuple(found.values()), tuple(found))


def _numbered(path: Path) -> dict[int, Path]:
    names = number_pattern(path)
    if names is None:
        raise SourceError(f"{path}: a pattern has one number, such as frame_%04d.png")
    try:
        found = {
            int(match["number"]): each
            for each in path.parent.iterdir()
            if (match := names.fullmatch(each.name))
        }
    except OSError as exc:
        raise SourceError(f"{path.parent}: cannot be read ({exc.strerror}). Check the folder") from exc
    ordered = dict(sorted(found.items()))
    if ordered:
        first, last = next(iter(ordered)), next(reversed(ordered))
        if missing := last - first + 1 - len(ordered):
            log.warning(
                "%s: of pictures %d to %d, %d %s missing; the others follow each other",
                path,
                first,
                last,
                missing,
                "is" if missing == 1 else "are",
            )
    return ordered


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """Numbers by their value: frame2 comes before frame10."""
    parts = re.split(r"(\d+)", name)
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]


class OpenSequence:
    """A sequence as FFmpeg reads it: links with numbers that follow each other, in a folder of their own.

    Attributes:
        container: the open input.
    """

    def __init__(self, sequence: PictureSequence, rate: Fraction) -> None:
        """Open it.

        Args:
            sequence: what to read.
            rate: pictures a second.

        Raises:
            SourceError: the first picture cannot be read.
        """
        self._folder = tempfile.TemporaryDirectory(prefix="malle-rt-sequence-")
        suffix = sequence.files[0].suffix.lower()
        try:
            for number, file in enumerate(sequence.files):
                (Path(self._folder.name) / f"{number:09d}{suffix}").symlink_to(file.absolute())
            self.container: InputContainer = open_reading(
                f"{self._folder.name}/%09d{suffix}",
                format="image2",
                options={
                    "framerate": f"{rate.numerator}/{rate.denominator}",
                    "start_number": "0",
                    "protocol_whitelist": "file",
                },
            )
        except (av.error.FFmpegError, OSError, ValueError) as exc:
            self.close()
            reason = getattr(exc, "strerror", None) or str(exc)
            raise SourceError(f"{sequence.pattern}: {sequence.files[0]} cannot be read ({reason})") from exc
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Remove the links. May be called twice."""
        self._folder.cleanup()
