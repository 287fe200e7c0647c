"""Standard streams that cannot end a command: closed, full, or unable to show a name."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TextIO, cast

__all__ = ["flushed", "safe_streams"]


class _Forgiving:
    """A stream whose writes may fail: what it says is a courtesy, the file that is being written is not."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except (OSError, ValueError):
            _give_up(self._stream)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError):
            _give_up(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def safe_streams() -> Iterator[None]:
    """Standard streams that are there, take every name, and of which the one for errors never fails."""
    _occupy()
    before = sys.stdout, sys.stderr
    # None where the caller has closed them; what is printed to None goes to standard output.
    with Path(os.devnull).open("w") as nowhere:
        out, err = sys.stdout or nowhere, sys.stderr or nowhere
        for stream in (out, err):
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        sys.stdout, sys.stderr = out, cast(TextIO, _Forgiving(err))
        try:
            yield
        finally:
            sys.stderr.flush()
            sys.stdout, sys.stderr = before


def flushed(code: int) -> int:
    """The exit code, once standard output has taken everything; 1 where it could not and none was wrong before."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError) as exc:
        _give_up(sys.stdout)
        if getattr(exc, "errno", None) == errno.EPIPE:  # the reader has seen enough
            return code
        print(f"malle-rt: error: standard output cannot be written ({exc})", file=sys.stderr)
        return code or 1
    return code


def _occupy() -> None:
    """Give closed descriptors something, or the next file that is opened gets the number of standard error."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _give_up(stream: TextIO) -> None:
    """What is still in the stream's buffer must not fail again when the interpreter ends."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
