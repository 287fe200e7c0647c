"""Open an input, and say in one line why it cannot be opened."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer

from malle_rt.errors import SourceError
from malle_rt.media.compat import open_reading
from malle_rt.media.pipe_input import PipeInput
from malle_rt.media.play_lists import (
    PIPE_OPTIONS,
    UDP_OPTIONS,
    address_options,
    file_options,
    list_kind,
    names_others,
)
from malle_rt.media.sequences import is_sequence
from malle_rt.shown import shown_address

__all__ = [
    "BROADCASTS",
    "INDEX_BEHIND",
    "check_file",
    "is_attached_picture",
    "is_path",
    "is_pipe",
    "is_url",
    "main_video",
    "open_address",
    "open_file",
    "open_input",
    "plain_location",
    "size_of",
]

log = logging.getLogger(__name__)

# Formats whose tracks may begin anywhere, and that can be read from any place on: MPEG-TS and program streams.
BROADCASTS = ("mpegts", "mpeg")
# What gives bytes that come once.
_BYTES = ("udp://", "udplite://", "tcp://")
# Seconds to open a network stream, and to wait for its next packet.
_NETWORK_TIMEOUT = (10.0, 20.0)
# A pipe cannot be looked at twice, so its beginning is looked at for longer, as far as something is unknown yet:
# bytes, and microseconds.
_LONG_LOOK = {"probesize": str(32 << 20), "analyzeduration": "20000000"}
INDEX_BEHIND = (
    "this MP4 has its index at the end, where a pipe cannot be read from. Give the file itself, or write it with "
    "its index first (ffmpeg: -movflags +faststart)"
)
_DEFAULT, _ATTACHED_PICTURE = 1 << 0, 1 << 10


def plain_location(location: str | os.PathLike[str]) -> str:
    """The location without "file:", and "-" for standard input, however it was written."""
    text = os.fspath(location).removeprefix("file://").removeprefix("file:")
    return "-" if text in ("pipe:", "pipe:0") else text


def is_url(location: str) -> bool:
    """Whether the plain location is a network address or another FFmpeg protocol."""
    return "://" in location


def is_path(location: str) -> bool:
    """Whether the plain location is a file's path: it can be opened twice, and compared with others."""
    return not (is_url(location) or location == "-" or is_pipe(location) or is_sequence(location))


def open_input(location: str, pipe: PipeInput) -> InputContainer:
    """Open a plain location for reading.

    Args:
        location: of a file, a URL, or "-".
        pipe: what is read with that comes once: "-", named pipes, broadcasts over the network.

    Raises:
        SourceError: what is wrong with it, and what to do.
    """
    url = is_url(location)
    if not url and location != "-":
        check_file(location)
    try:
        if url and not location.lower().startswith(_BYTES):
            return _open_url(location, pipe)
        if is_path(location):
            return open_file(location)
        if url:
            pipe.open_address(location, UDP_OPTIONS | address_options(location), _NETWORK_TIMEOUT)
        elif location != "-":
            pipe.open(location)
        return open_reading(pipe, options=PIPE_OPTIONS | _LONG_LOOK)
    except (av.error.FFmpegError, OSError, ValueError) as exc:
        if pipe.is_mp4:
            raise SourceError(f"{location}: {INDEX_BEHIND}") from exc
        raise SourceError(_why_not(location, exc, url)) from exc


def open_address(address: str, *, form: str | None = None, **more: str) -> InputContainer:
    """Open an address for reading; what it leads to can open no file of this machine.

    Args:
        address: of a server or a stream.
        form: its format; None: FFmpeg finds out.
        more: further options of FFmpeg's.

    Raises:
        av.error.FFmpegError: it cannot be opened; OSError and ValueError likewise.
    """
    options = address_options(address) | more
    return open_reading(address, format=form, timeout=_NETWORK_TIMEOUT, options=options)


def size_of(container: InputContainer) -> int:
    """Bytes of an input; 0 where they are not known, as for a pipe or a stream without an end."""
    return max(0, container.size or 0)


def _open_url(address: str, pipe: PipeInput) -> InputContainer:
    """A broadcast without an end is opened as bytes: what begins on the way must be seen.

    A small one with an end too, of which FFmpeg 8 finds no packets any more once it has looked at all of it.
    """
    container = open_address(address)
    if container.format.name not in BROADCASTS or size_of(container):
        return container
    try:
        pipe.open_address(address, address_options(address), _NETWORK_TIMEOUT)
        watched = open_reading(pipe, options=PIPE_OPTIONS | _LONG_LOOK)
    except (av.error.FFmpegError, OSError, ValueError) as exc:
        log.warning(
            "%s: lets itself be opened only once (%s): tracks that begin later are left out in silence",
            shown_address(address),
            getattr(exc, "strerror", None) or exc,
        )
        pipe.close()
        return container
    container.close()
    return watched


def open_file(path: str | os.PathLike[str], **more: Any) -> InputContainer:
    """Open a file on this machine for reading; what it can name is not opened, see ``file_options``.

    Args:
        path: of the file.
        more: further options of ``av.open``.

    Raises:
        SourceError: a play list that names what it may not.
        av.error.FFmpegError: it cannot be opened; OSError and ValueError likewise.
    """
    absolute = Path(path).absolute()  # FFmpeg takes what stands before a colon for a protocol
    return open_reading(str(absolute), options=file_options(absolute), **more)


def is_pipe(location: str) -> bool:
    """Whether the plain location is a named pipe, or a pipe that a shell gave a path to."""
    try:
        return location != "-" and not is_url(location) and stat.S_ISFIFO(Path(location).stat().st_mode)
    except (OSError, ValueError):
        return False


def main_video(container: InputContainer, location: str) -> av.VideoStream:
    """The video track to process: the default one, else the largest; never a cover picture.

    Raises:
        SourceError: there is none, or nothing here can decode it.
    """
    tracks = [stream for stream in container.streams.video if not is_attached_picture(stream)]
    if not tracks:
        found = ", ".join(_describe(stream) for stream in container.streams) or "nothing"
        raise SourceError(
            f"{shown_address(location)}: no video track, only {found}. Give a file that has a picture"
        )
    usable = [stream for stream in tracks if stream.codec_context is not None]
    if not usable:
        raise SourceError(
            f"{shown_address(location)}: this FFmpeg build has no decoder for its video track. "
            "Convert it with another program first"
        )
    return max(usable, key=_rank)


def is_attached_picture(stream: Any) -> bool:
    """Whether a video stream is a cover picture: one still image that is not played."""
    return bool(stream.disposition & _ATTACHED_PICTURE)


def _rank(stream: av.VideoStream) -> tuple[bool, int, int]:
    default = bool(stream.disposition & _DEFAULT)
    return default, stream.codec_context.width * stream.codec_context.height, -stream.index


def _describe(stream: Any) -> str:
    codec = stream.codec_context.name if stream.codec_context is not None else "unknown"
    kind = "cover picture" if is_attached_picture(stream) else stream.type
    return f"{kind} ({codec})"


def check_file(location: str) -> None:
    """The reasons FFmpeg words badly or not at all.

    Raises:
        SourceError: the file is not there, or cannot be read.
    """
    path = Path(location)
    checks: tuple[tuple[Callable[[], bool], str], ...] = (
        (lambda: not path.exists(), "no such file. Check the name"),
        (
            path.is_dir,
            "this is a folder. Give a video file, or pictures by a pattern, such as frame_%04d.png or *.png",
        ),
        (lambda: not os.access(path, os.R_OK), "no permission to read it. Change its mode or owner"),
        (lambda: path.is_file() and path.stat().st_size == 0, "the file is empty (0 bytes). Copy it again"),
    )
    try:
        problem = next((problem for is_so, problem in checks if is_so()), None)
    except (
        OSError,
        ValueError,
    ) as exc:  # a name that is too long, a folder that may not be entered, a null byte
        problem = (
            f"cannot be reached ({getattr(exc, 'strerror', None) or exc}). Check the name and its folders"
        )
    if problem is not None:
        raise SourceError(f"{location}: {problem}")


def _why_not(location: str, exc: Exception, url: bool) -> str:
    if not url and (kind := list_kind(Path(location))) is not None:
        return f"{location}: {names_others(kind)}"
    if isinstance(exc, av.error.InvalidDataError):
        return (
            f"{shown_address(location)}: not a video that FFmpeg can read: damaged, cut off before its index, "
            "or no video at all. Try playing it; if a player opens it, please report this"
        )
    reason = getattr(exc, "strerror", None) or str(exc)
    hint = "Check the address, the network and that the server is up" if url else "Try playing it in a player"
    return f"{shown_address(location)}: cannot be opened ({reason}). {hint}"
