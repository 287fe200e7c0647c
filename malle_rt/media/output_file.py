"""An output file that appears whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import stat
import sys
import time
from pathlib import Path

import av

from malle_rt.errors import SinkError, SourceError
from malle_rt.media.opening import open_file

__all__ = ["OutputFile", "discard_claimed", "lock_file"]

log = logging.getLogger(__name__)

_LONGEST = 255  # bytes of a file's name, on all common file systems
_PICTURES = (".avif", ".heic", ".heif")  # in containers of videos
_PIPE_WAIT = 10.0  # seconds in which a pipe must find a reader
# Errors of file systems that know no locks.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)

_claimed: set[OutputFile] = set()


def discard_claimed() -> None:
    """Remove every partial file that this process writes now: for a process that is about to end at once."""
    for file in list(_claimed):
        file.discard()


class OutputFile:
    """NAME.partial.EXT beside the target, renamed onto it once the content is complete.

    The partial file is locked while it is written. What a process left that is no more is replaced by the next one
    that writes to the same target. A target that is a symbolic link stays one, and a pipe is written itself.

    Attributes:
        target: where the file will appear, as the user named it.
        partial: where to write meanwhile; same folder, so that renaming is atomic, and same extension.
        is_pipe: whether the target is a named pipe: ``partial`` is the pipe itself then.
    """

    def __init__(
        self,
        target: str | os.PathLike[str],
        *,
        overwrite: bool,
        source: str | None = None,
        spare: bool = False,
    ) -> None:
        """Check that the target may and can be written; nothing is created.

        Args:
            target: path of the output.
            overwrite: whether an existing file may be replaced.
            source: path of the input, which must never be replaced.
            spare: whether an older partial file holds what cannot be had again: it stays, and another name is taken.

        Raises:
            SinkError: it may not or cannot.
        """
        self.target = Path(target)
        self._overwrite = overwrite
        self._spare = spare
        found = _check_target(self.target, overwrite, source)
        self.is_pipe = found is not None and stat.S_ISFIFO(found.st_mode)
        # A link's file is replaced, not the link. Absolute, because FFmpeg takes what stands before a colon in a
        # relative name for a protocol.
        linked = self.target.is_symlink()
        self._final = Path(os.path.realpath(self.target)) if linked else self.target.absolute()
        self.partial = self._final if self.is_pipe else _partial_of(self._final)
        if not self.is_pipe and _same(self.partial, source):
            raise SinkError(
                f"{self.target}: the input has the name that is needed while it is written. Choose another name"
            )
        self._mode = _mode_of(source)
        self._handle: int | None = None

    def claim(self) -> None:
        """Create the partial file and lock it, or wait for a pipe's reader; before anything is written.

        Raises:
            SinkError: another process writes it, nobody reads the pipe, or the file cannot be created.
        """
        try:
            self._handle = self._open_pipe() if self.is_pipe else self._create()
        except OSError as exc:
            reason = exc.strerror or exc
            raise SinkError(f"{self.target}: cannot be created ({reason}). Check the folder") from exc
        _claimed.add(self)

    def commit(self) -> None:
        """Make the written file appear as the target, on the disk and not only in memory.

        Raises:
            SinkError: it cannot be renamed, or something has appeared there that may not be replaced.
        """
        if self.is_pipe:
            self.keep()
            return
        try:
            if not self._overwrite and self._final.exists():
                raise SinkError(
                    f"{self.target}: has appeared meanwhile",
                    hint="Choose another name, or pass overwrite=True",
                )
            if self._handle is not None:
                os.fsync(self._handle)
            if sys.platform == "win32":
                self.keep()  # open files cannot be renamed there
            self.partial.replace(self._final)
            self.keep()
            _sync_folder(self._final.parent)
        except OSError as exc:
            raise SinkError(f"{self.target}: finished, but cannot be put in place ({exc.strerror})") from exc

    def keep(self) -> None:
        """Leave what was written under the partial name."""
        _claimed.discard(self)
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)

    def discard(self) -> None:
        """Remove what was written so far. May be called twice; the target stays as it is."""
        if self._handle is not None and not self.is_pipe:
            self.partial.unlink(missing_ok=True)
        self.keep()

    def _create(self) -> int:
        """A new, empty, locked file; what a dead process left under its name is removed."""
        number = 1
        while True:
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
            there = os.path.lexists(self.partial)
            if there and self._spare:
                number += 1
                self.partial = _partial_of(self._final, number)
                continue
            handle = os.open(self.partial, flags, self._mode)
            try:
                if not stat.S_ISREG(os.fstat(handle).st_mode):
                    raise SinkError(f"{self.partial}: is in the way and no regular file. Remove it")
                if not lock_file(handle):
                    raise SinkError(
                        f"{self.target}: another run is writing it now. Wait for its end, or choose another name"
                    )
                if not there and _is_at(handle, self.partial):
                    return handle
                if there and _is_at(handle, self.partial):
                    log.info("%s, left by a run that was ended, is replaced", self.partial)
                    self.partial.unlink()
            except BaseException:
                os.close(handle)
                raise
            os.close(handle)

    def _open_pipe(self) -> int:
        end = time.monotonic() + _PIPE_WAIT
        while True:
            try:
                return os.open(self.partial, os.O_WRONLY | os.O_NONBLOCK)
            except OSError as exc:
                if exc.errno != errno.ENXIO:
                    raise
                if time.monotonic() >= end:
                    raise SinkError(f"{self.target}: nobody reads this pipe. Start its reader first") from exc
            time.sleep(0.05)


def _partial_of(final: Path, number: int = 1) -> Path:
    """The name to write under; a name that would be too long is cut, and made its own again by a checksum."""
    ending = f".partial{'' if number == 1 else f'-{number}'}{final.suffix}"
    stem = os.fsencode(final.stem)
    if len(stem) + len(os.fsencode(ending)) > _LONGEST:
        own = "." + hashlib.sha256(stem).hexdigest()[:8]
        room = max(0, _LONGEST - len(os.fsencode(own + ending)))
        return final.with_name(stem[:room].decode(errors="ignore") + own + ending)
    return final.with_name(final.stem + ending)


def _check_target(target: Path, overwrite: bool, source: str | None) -> os.stat_result | None:
    """What is at the target now; None: nothing."""
    folder = target.parent
    name = os.fsencode(target.name)
    if len(name) > _LONGEST:
        raise SinkError(
            f"{target}: the name has {len(name)} bytes, {_LONGEST} are possible. Choose a shorter one"
        )
    found = _stat(target)
    if found is not None and stat.S_ISDIR(found.st_mode):
        raise SinkError(f"{target}: this is a folder. Give a file name, such as {target / 'out.mkv'}")
    where = _stat(folder)
    if where is None or not stat.S_ISDIR(where.st_mode):
        raise SinkError(f"{target}: no folder {folder}. Create it first")
    if found is not None and stat.S_ISFIFO(found.st_mode):
        return found
    if not os.access(folder, os.W_OK | os.X_OK):
        raise SinkError(f"{target}: no permission to write in {folder}. Choose another folder")
    if found is None:
        return None
    if not stat.S_ISREG(found.st_mode):
        raise SinkError(f"{target}: this is a device or a socket. Give a file name")
    # Links count: replacing any name of the input would destroy it before it has been read to its end.
    if _same(target, source):
        raise SinkError(f"{target}: this is the input itself. Choose another name for the output")
    if not overwrite and found.st_size and _is_video(target):
        raise SinkError(
            f"{target}: exists already and is a video; one input and one output are taken",
            hint="Choose another name for the output, or clean both with output_dir=DIR",
        )
    if not overwrite:
        hint = "Choose another name, or pass overwrite=True to replace it"
        raise SinkError(f"{target}: exists already", hint=hint)
    return found


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as exc:
        raise SinkError(f"{path}: cannot be reached ({exc.strerror}). Choose another place") from exc


def _same(path: Path, source: str | None) -> bool:
    try:
        return source is not None and path.samefile(source)
    except (OSError, ValueError):
        return False


def _is_video(path: Path) -> bool:
    """Whether the file can be opened as a film: it may be meant as another input."""
    if path.suffix.lower() in _PICTURES:
        return False
    try:
        with open_file(path) as container:
            # A picture's format, "image2" or "png_pipe", is told by the file's name alone.
            picture = container.format.name in ("image2", "tty") or container.format.name.endswith("_pipe")
            return bool(container.streams.video) and not picture
    except (av.error.FFmpegError, OSError, ValueError, SourceError):
        return False


def _mode_of(source: str | None) -> int:
    """Permissions of the output before the umask: what may not be read by others must not become so."""
    try:
        found = Path(source).stat() if source is not None else None
    except (OSError, ValueError):
        found = None
    if found is None or not stat.S_ISREG(found.st_mode):
        return 0o666
    return (found.st_mode & 0o666) | 0o600


def lock_file(handle: int) -> bool:
    """Lock the file for this process; False where another one has it. The lock ends with the process."""
    if sys.platform == "win32":  # there, an open file cannot be removed, which is as good
        return True
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        return exc.errno in _NO_LOCKS
    return True


def _is_at(handle: int, path: Path) -> bool:
    """Whether the open file is still the one with this name."""
    try:
        return os.path.samestat(os.fstat(handle), os.lstat(path))
    except FileNotFoundError:
        return False


def _sync_folder(folder: Path) -> None:
    """The new name must survive a power failure, too."""
    if sys.platform == "win32":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as exc:  # some network file systems cannot
        log.debug("%s: cannot be synchronised (%s)", folder, exc)
    finally:
        os.close(handle)
