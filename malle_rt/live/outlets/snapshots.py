"""Pairs of PNG files: the same instant as captured and as denoised."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import cast

from malle_rt.errors import SinkError
from malle_rt.frame import Frame
from malle_rt.live.frame import LiveFrame
from malle_rt.live.outlets.naming import free_stem
from malle_rt.media.output_file import OutputFile
from malle_rt.media.png import encode_png
from malle_rt.pipeline.channel import Channel
from malle_rt.pipeline.config import PipelineConfig
from malle_rt.pipeline.stage import Failures, Stage

__all__ = ["Snapshots"]

log = logging.getLogger(__name__)

_WAITING = 4  # frames; each holds two pictures
_RAW, _CLEAN = "-raw.png", "-clean.png"


class Snapshots:
    """Saves frames in a thread of its own, as they look on a screen: 8-bit RGB."""

    def __init__(self, folder: Path, say: Callable[[str], object]) -> None:
        """Start the thread.

        Args:
            folder: for the files.
            say: told in one line what became of each snapshot; from any thread.
        """
        self._folder = folder
        self._say = say
        self._lock = threading.Lock()
        self._channel = Channel(PipelineConfig(depth=_WAITING))
        self._stage = Stage(
            "malle-snapshots",
            self._work,
            channels=[self._channel],
            release=lambda: None,
            failures=Failures(),
        )
        self._stage.start()

    def save(self, frame: LiveFrame) -> bool:
        """Save a frame soon; returns at once, False where too many wait already or the thread has ended."""
        with self._lock:
            full = len(self._channel) >= _WAITING
            taken = not full and self._channel.put(frame)
        if full:
            self._say("snapshot left out: the ones before are still being saved")
        elif not taken:
            self._say("snapshot left out: saving has ended")
        return taken

    def close(self, seconds: float = 2.0) -> bool:
        """Save what waits, at most so long; False where the thread is still busy and is left behind."""
        self._channel.close()
        return self._stage.wait(seconds)

    def _work(self) -> None:
        for frame in self._channel:
            try:
                outcome = f"saved {self._save(cast(LiveFrame, frame))}"
            except Exception as exc:  # whatever one picture is, the next may be saved
                log.debug("a snapshot was not saved", exc_info=True)
                outcome = f"snapshot: not saved ({' '.join(str(exc).split()) or type(exc).__name__})"
            self._say(outcome)

    def _save(self, frame: LiveFrame) -> Path:
        """Both files or none; gives the path of the clean one."""
        stem = free_stem(self._folder, (_RAW, _CLEAN))
        pictures = {_RAW: frame.raw or frame, _CLEAN: frame}
        files = [
            (OutputFile(self._folder / f"{stem}{end}", overwrite=False), pictures[end]) for end in pictures
        ]
        done: list[OutputFile] = []
        try:
            for file, picture in files:
                _write(file, picture)
            for file, _ in files:
                file.commit()
                done.append(file)
        except BaseException:
            for file in done:
                file.target.unlink(missing_ok=True)
            raise
        finally:
            for file, _ in files:
                file.discard()
        return files[-1][0].target


def _write(file: OutputFile, frame: Frame) -> None:
    """Encode a picture into the partial file.

    Raises:
        SinkError: it cannot be written.
    """
    data = encode_png(frame)
    try:
        file.claim()
        file.partial.write_bytes(data)
    except OSError as exc:
        raise SinkError(f"{file.target}: cannot be written ({exc.strerror}). Free some space") from exc
