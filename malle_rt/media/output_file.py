"""An output file that appears whole or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from malle_rt.errors import SinkError

__all__ = ["OutputFile"]


class OutputFile:
    """A temporary name beside the target, renamed onto it once the content is complete.

    Attributes:
        target: where the file will appear.
        partial: where to write meanwhile; same folder, so that renaming is atomic, and same extension.
    """

    def __init__(self, target: str | os.PathLike[str], *, overwrite: bool, source: str | None = None) -> None:
        """Check that the target may and can be written.

        Args:
            target: path of the output.
            overwrite: whether an existing file may be replaced.
            source: path of the input, which must never be replaced.

        Raises:
            SinkError: it may not or cannot.
        """
        self.target = Path(target)
        self._overwrite = overwrite
        _check_target(self.target, overwrite, source)
        unique = f"{os.getpid()}-{secrets.token_hex(4)}"
        # Absolute, because FFmpeg takes what stands before a colon in a relative name for a protocol.
        self.partial = self.target.absolute().with_name(
            f".{self.target.stem}.{unique}.partial{self.target.suffix}"
        )

    def commit(self) -> None:
        """Make the written file appear as the target.

        Raises:
            SinkError: it cannot be renamed, or something has appeared there that may not be replaced.
        """
        try:
            if not self._overwrite and self.target.exists():
                raise SinkError(
                    f"{self.target}: has appeared meanwhile. Choose another name, or pass --overwrite"
                )
            self.partial.replace(self.target)
        except OSError as exc:
            raise SinkError(f"{self.target}: finished, but cannot be put in place ({exc.strerror})") from exc

    def discard(self) -> None:
        """Remove what was written so far. May be called twice; the target stays as it is."""
        self.partial.unlink(missing_ok=True)


def _check_target(target: Path, overwrite: bool, source: str | None) -> None:
    folder = target.parent
    if target.is_dir():
        raise SinkError(f"{target}: this is a folder. Give a file name, such as {target / 'out.mkv'}")
    if not folder.is_dir():
        raise SinkError(f"{target}: no folder {folder}. Create it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise SinkError(f"{target}: no permission to write in {folder}. Choose another folder")
    # Links count: replacing any name of the input would destroy it before it has been read to its end.
    if source is not None and target.exists() and Path(source).exists() and target.samefile(source):
        raise SinkError(f"{target}: this is the input itself. Choose another name for the output")
    if target.exists() and not overwrite:
        raise SinkError(f"{target}: exists already. Choose another name, or pass --overwrite to replace it")
