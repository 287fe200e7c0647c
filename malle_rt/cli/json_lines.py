"""``--progress json``: how a run goes, for programs, an object a line; docs/batch.md has the fields."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any, TextIO

from malle_rt import __version__

if TYPE_CHECKING:
    from malle_rt.api import TranscodeReport
    from malle_rt.pipeline import Progress

__all__ = ["OUTCOMES", "JsonLines"]

OUTCOMES = ("done", "losses", "skipped", "failed", "stopped")
_SCHEMA = 1


class JsonLines:
    """Writes events to standard output.

    Args:
        out: where to.
        files: how many there are; None where that is not known.
    """

    def __init__(self, out: TextIO, files: int | None) -> None:
        self._out: TextIO | None = out
        self._write("start", schema=_SCHEMA, version=__version__, files=files)

    def file_start(
        self, index: int, source: str | os.PathLike[str], output: object, frames: int | None, backend: str
    ) -> None:
        """A file is opened; ``index`` counts from 1, and ``frames`` is the number that is expected."""
        self._write(
            "file_start",
            index=index,
            input=os.fspath(source),
            output=str(output),
            frames=frames,
            backend=backend,
        )

    def progress(
        self,
        index: int,
        frames: int | None,
        progress: Progress,
        *,
        share: float | None,
        seconds_left: float | None,
        written: int | None = None,
    ) -> None:
        """A file goes on.

        Args:
            index: of the file.
            frames: expected number.
            progress: what is done of it.
            share: what is done of all files, 0 to 1; None where that is not known.
            seconds_left: for all files.
            written: bytes of the output so far.
        """
        done, fps = progress.frames_out, progress.fps
        left = max(0, frames - done) / fps if frames and fps else None
        self._write(
            "progress",
            index=index,
            frames_done=done,
            frames=frames,
            fps=round(fps, 2),
            seconds=round(progress.seconds, 2),
            seconds_left=_rounded(left, 1),
            position=None if progress.position is None else round(float(progress.position), 3),
            output_bytes=written,
            total={"share": _rounded(share, 4), "seconds_left": _rounded(seconds_left, 1)},
        )

    def file_end(
        self,
        index: int,
        source: str | os.PathLike[str],
        output: object,
        outcome: str,
        reason: str,
        report: TranscodeReport | None,
    ) -> None:
        """A file has its outcome."""
        pipeline = report.pipeline if report is not None else None
        self._write(
            "file_end",
            index=index,
            input=os.fspath(source),
            output=str(report.output if report is not None else output),
            outcome=outcome,
            reason=reason,
            frames_done=pipeline.frames_out if pipeline else 0,
            fps=round(pipeline.fps, 2) if pipeline else None,
            seconds=round(pipeline.seconds, 2) if pipeline else None,
            strength=_rounded(report.sigma, 2) if report else None,
        )

    def end(self, counts: dict[str, int], exit_code: int) -> None:
        """All is over: files by outcome, and the exit code that follows."""
        self._write("end", **counts, exit_code=exit_code)

    def _write(self, event: str, **fields: Any) -> None:
        """A reader that has gone ends no work."""
        if self._out is None:
            return
        try:
            # ASCII, with names that are no text as escapes: any reader takes it.
            self._out.write(json.dumps({"event": event, **fields}) + "\n")
            self._out.flush()
        except (OSError, ValueError) as exc:
            self._out = None
            print(f"malle-rt: progress can no longer be written ({exc}); the work goes on", file=sys.stderr)


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
