"""Many inputs in few words: files, folders, patterns and lists, and where the result of each belongs."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from malle_rt.errors import ConfigError
from malle_rt.media.opening import is_path, plain_location
from malle_rt.media.own_outputs import clean_name
from malle_rt.media.sequences import is_sequence

__all__ = ["Inputs", "files_below", "find_inputs", "is_video_name", "means_many"]

# What is taken from a folder, by its name; all others are counted. A file named by itself may be called anything.
_VIDEOS = (
    *(
        ".3g2",
        ".3gp",
        ".asf",
        ".avi",
        ".dv",
        ".f4v",
        ".flv",
        ".gif",
        ".h264",
        ".h265",
        ".hevc",
        ".ivf",
        ".m1v",
    ),
    *(
        ".m2t",
        ".m2ts",
        ".m2v",
        ".m4v",
        ".mjpeg",
        ".mjpg",
        ".mkv",
        ".mov",
        ".mp4",
        ".mpeg",
        ".mpg",
        ".mts",
        ".mxf",
    ),
    *(".nut", ".obu", ".ogm", ".ogv", ".qt", ".rm", ".rmvb", ".ts", ".vob", ".webm", ".wmv", ".y4m"),
)


@dataclass(frozen=True)
class Inputs:
    """What was found.

    Attributes:
        pairs: each input, once, and the output that belongs to it.
        others: files in folders whose names are not those of videos.
    """

    pairs: tuple[tuple[Path, Path], ...]
    others: int


def means_many(word: str) -> bool:
    """Whether a word of the command line can mean more than one input: a folder, a pattern or a list."""
    plain = plain_location(word)
    if not is_path(plain):
        return False
    return Path(plain).is_dir() or (not os.path.lexists(plain) and (word[:1] == "@" or glob.has_magic(plain)))


def find_inputs(
    words: Sequence[str], lists: Sequence[str], output_dir: Path, *, recursive: bool = False
) -> Inputs:
    """Look up all inputs, and name their outputs.

    Args:
        words: files, folders, patterns such as "*.mkv", and "@FILE" for lists.
        lists: files with an input a line; "-" is standard input.
        output_dir: where the outputs belong, in the folders that they stand in below a folder or a pattern.
        recursive: whether folders in folders are entered.

    Raises:
        ConfigError: there is none, an input is no file, or two of them would have the same output.
    """
    finder = _Finder(output_dir, recursive=recursive)
    for word in words:
        finder.add(word)
    for name in lists:
        finder.add_list(name)
    if not finder.outputs:
        others = f"; {finder.others} files are no videos by their names" if finder.others else ""
        raise ConfigError(f"no video was found in {', '.join([*words, *lists])}{others}. Name other inputs")
    return Inputs(tuple((source, output) for output, source in finder.outputs.items()), finder.others)


class _Finder:
    def __init__(self, output_dir: Path, *, recursive: bool) -> None:
        self.outputs: dict[Path, Path] = {}  # the source of each
        self.others = 0
        self._seen: set[str] = set()
        self._output_dir, self._recursive = output_dir, recursive

    def add(self, word: str, *, listed: bool = False) -> None:
        """One word; ``listed``: from a list, which names no further ones."""
        plain = plain_location(word)
        if is_sequence(plain):
            raise ConfigError(
                f"{word}: these are the pictures of one video",
                hint="Clean it by itself, not into an output folder for many",
            )
        if not is_path(plain):
            raise ConfigError(f"{word}: several inputs must be files. Clean addresses and pipes one by one")
        path = Path(plain)
        if path.is_dir():
            self._add_folder(path)
        elif os.path.lexists(plain):
            self._add_file(path, Path())
        elif word.startswith("@") and not listed:
            self.add_list(word[1:])
        elif glob.has_magic(plain):
            self._add_pattern(plain)
        else:
            raise ConfigError(f"{word}: no such file or folder. Check the name")

    def add_list(self, name: str) -> None:
        for line in _lines(name):
            self.add(line, listed=True)

    def _add_folder(self, folder: Path) -> None:
        for path in files_below(folder, [self._output_dir], recursive=self._recursive):
            if is_video_name(path):
                self._add_file(path, path.parent.relative_to(folder))
            else:
                self.others += 1

    def _add_pattern(self, pattern: str) -> None:
        fixed = Path()
        for part in Path(pattern).parts[:-1]:
            if glob.has_magic(part):
                break
            fixed /= part
        # Path.glob takes no absolute patterns.
        found = [Path(each) for each in sorted(glob.iglob(pattern, recursive=True))]  # noqa: PTH207
        files = [path for path in found if path.is_file()]
        if not files:
            raise ConfigError(f"no file matches {pattern!r}. Check the pattern and the folder")
        for path in files:
            self._add_file(path, path.parent.relative_to(fixed))

    def _add_file(self, path: Path, below: Path) -> None:
        real = os.path.realpath(path)
        if real in self._seen:
            return
        self._seen.add(real)
        output = self._output_dir / below / clean_name(path)
        other = self.outputs.setdefault(output, path)
        if other is not path:
            raise ConfigError(
                f"{other} and {path} would both become {output}. Clean them into two folders, or rename one"
            )


def is_video_name(path: Path) -> bool:
    """Whether a file is called as videos are."""
    return path.suffix.lower() in _VIDEOS


def _refuse(error: OSError) -> None:
    raise ConfigError(f"{error.filename}: cannot be read ({error.strerror}). Check its mode and owner")


def files_below(
    folder: Path,
    left_out: Collection[Path],
    *,
    recursive: bool,
    on_error: Callable[[OSError], None] = _refuse,
) -> Iterator[Path]:
    """Files in a folder by name, those of its folders behind them; no hidden ones.

    Args:
        folder: where to look.
        left_out: folders that are not entered.
        recursive: whether others are.
        on_error: told of each folder that cannot be read.

    Raises:
        ConfigError: a folder cannot be read, where nothing else was said.
    """
    closed = {os.path.realpath(each) for each in left_out}
    for place, folders, files in os.walk(folder, onerror=on_error):
        folders[:] = sorted(
            name
            for name in folders
            if recursive and name[0] != "." and os.path.realpath(Path(place, name)) not in closed
        )
        yield from (
            path for name in sorted(files) if name[0] != "." and (path := Path(place, name)).is_file()
        )


def _lines(name: str) -> list[str]:
    """Inputs in a list: one a line, or between null bytes as ``find -print0`` writes them.

    Raises:
        ConfigError: it cannot be read, or is empty.
    """
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or exc
        raise ConfigError(f"list {name}: cannot be read ({reason}). Check the name") from exc
    text = os.fsdecode(data.removeprefix(b"\xef\xbb\xbf"))
    entries = text.split("\0") if "\0" in text else text.splitlines()
    found = [each for each in entries if each.strip() and ("\0" in text or not each.startswith("#"))]
    if not found:
        raise ConfigError(f"list {name}: holds no input. Write one a line")
    return found
