"""A progress bar of one line: share done, frames, speed, time left, and what is running."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from malle_rt.pipeline.stats import Progress

__all__ = ["ProgressBar", "clock", "megabytes"]

_BAR = 20  # characters
_LINES_BETWEEN = 10.0  # seconds between lines where the output is not a terminal


class ProgressBar:
    """Draws on a terminal; writes a plain line now and then anywhere else.

    Args:
        out: where to draw.
        backend: name of what is running.
        frames: expected number of frames, None when unknown.
        of_all: text on all that is to be done, of which this is a part.
        name: of the file.
        written: bytes of the output so far, None where that is not known.
    """

    def __init__(
        self,
        out: TextIO,
        backend: str,
        frames: int | None,
        of_all: Callable[[], str] = lambda: "",
        *,
        name: str = "",
        written: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._out, self._backend, self._frames, self._of_all = out, backend, frames, of_all
        self._name, self._written = name, written
        self._began: tuple[float, float] | None = None  # instants of the video and of the clock, at first
        self._live = out.isatty()
        self._next_line = _LINES_BETWEEN

    def update(self, progress: Progress) -> None:
        """Show a snapshot."""
        if self._live:
            width = max(0, _columns(self._out) - 1)
            texts = self._texts(progress)
            fitting = next((text for text in texts if len(text) <= width), texts[-1][:width])
            self._out.write("\r" + fitting.ljust(width))
            self._out.flush()
        elif progress.seconds >= self._next_line:
            self._next_line = progress.seconds + _LINES_BETWEEN
            self._out.write(self._texts(progress)[0] + "\n")

    def close(self) -> None:
        """Leave the terminal's line."""
        if self._live:
            self._out.write("\n")
            self._out.flush()

    def _texts(self, progress: Progress) -> list[str]:
        """What to say, from everything to the least."""
        done, speed, of_all = progress.frames_out, progress.fps, self._of_all()
        more = self._real_time(progress) + self._size()
        if not self._frames:
            least = f"{done} frames  {speed:.1f} fps"
            texts = [f"{least}{more}  {self._backend}{of_all}", f"{least}{more}{of_all}", f"{least}{of_all}"]
            return [*self._named(texts[0]), *texts, least]
        share = min(done / self._frames, 1.0)
        bar = "#" * round(share * _BAR)
        left = clock((self._frames - done) / speed) if speed and done < self._frames else "0:00"
        counted = f"{done}/{self._frames} frames  {speed:.1f} fps  ETA {left}"
        without_backend = f"[{bar:<{_BAR}}] {share:4.0%}  {counted}"
        short = f"{share:.0%}  ETA {left}"
        all_of_it = f"{without_backend}{more}  {self._backend}"
        texts = [*self._named(all_of_it), all_of_it]
        if more:
            texts += [f"{without_backend}{more}", f"{share:.0%}  {counted}{more}"]
        else:
            texts += [without_backend]
        texts += [f"{share:.0%}  {counted}", short]
        return [f"{text}{of_all}" for text in texts] + [short]

    def _named(self, text: str) -> list[str]:
        return [f"{self._name}  {text}"] if self._name else []

    def _real_time(self, progress: Progress) -> str:
        """How many times as fast as the video plays."""
        if progress.position is None:
            return ""
        now = float(progress.position), progress.seconds
        if self._began is None:
            self._began = now
        played, passed = (after - before for after, before in zip(now, self._began, strict=True))
        return f"  {played / passed:.2f}x real time" if passed > 0 and played > 0 else ""

    def _size(self) -> str:
        written = self._written()
        return f"  {megabytes(written)}" if written else ""


def _columns(out: TextIO) -> int:
    """Of the terminal that ``out`` writes to: standard output may go elsewhere, and a variable be out of date."""
    try:
        told = os.get_terminal_size(out.fileno()).columns
    except (OSError, ValueError):
        told = 0
    return told or shutil.get_terminal_size().columns


def megabytes(size: float) -> str:
    """A number of bytes for people."""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def clock(seconds: float) -> str:
    """[H:]MM:SS of a time in seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
