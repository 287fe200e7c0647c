"""Standard output as the place of a film: for the program at the other end of the pipe, and nothing but the film."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from malle_rt.errors import ConfigError

__all__ = ["PIPE_FORMATS", "StandardOutput", "is_standard_output", "output_suffix"]

# Containers that need no seeking, by FFmpeg's names, and what files of them are called.
PIPE_FORMATS = {"yuv4mpegpipe": ".y4m", "nut": ".nut", "matroska": ".mkv", "mpegts": ".ts"}
_NAMES = ("-", "pipe:", "pipe:1", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")


def is_standard_output(location: str | os.PathLike[str]) -> bool:
    """Whether an output is named as programs name their standard output."""
    return os.fspath(location) in _NAMES


def output_suffix(location: str | os.PathLike[str], container_format: str | None) -> str:
    """The suffix that says what an output is: of the format that is asked for, or of its name; Y4M for a pipe.

    Raises:
        ConfigError: no such format.
    """
    if container_format is not None:
        if container_format not in PIPE_FORMATS:
            raise ConfigError(f"format must be one of {', '.join(PIPE_FORMATS)}, got {container_format!r}")
        return PIPE_FORMATS[container_format]
    return ".y4m" if is_standard_output(location) else Path(location).suffix


class StandardOutput:
    """An ``OutputFile`` for standard output. While it is claimed, what others print goes to standard error.

    Attributes:
        target: how messages call it.
        partial: what FFmpeg opens, once it is claimed.
        is_pipe: it is written itself, from its beginning to its end.
    """

    is_pipe = True

    def __init__(self) -> None:
        """Look at it; nothing is written.

        Raises:
            ConfigError: it is a terminal.
        """
        self.target = Path("standard output")
        self.partial = self.target
        self._handle: int | None = None
        if os.isatty(1):
            raise ConfigError(
                "standard output is a terminal, which cannot show a video: name a file, or a program behind it, "
                "as in malle-rt transcode in.mp4 - | ffplay -"
            )

    def claim(self) -> None:
        """Take standard output, so that nothing else can get between the bytes of the film."""
        if sys.stdout is not None:
            sys.stdout.flush()
        self._handle = os.dup(1)
        os.dup2(2, 1)
        self.partial = Path(f"pipe:{self._handle}")

    def commit(self) -> None:
        """The film is whole."""
        self.keep()

    def keep(self) -> None:
        """Give standard output back. May be called twice."""
        handle, self._handle = self._handle, None
        if handle is not None:
            os.dup2(handle, 1)
            os.close(handle)

    def discard(self) -> None:
        """What was written cannot be taken back. May be called twice."""
        self.keep()
