"""Read a finished file back and compare it with what was written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer

from malle_rt.errors import SinkError
from malle_rt.media.compat import exact
from malle_rt.media.opening import is_attached_picture, open_file

__all__ = ["Written", "ends_where_it_says", "verify_end", "verify_file"]

# Seconds. Matroska rounds each end of the span to a millisecond.
_ROUNDING = Fraction(1, 500)
# Seconds by which a header's length may be off.
_END = Fraction(1)


@dataclass
class Written:
    """What went into the video track.

    Attributes:
        frames: number of frames.
        first, last: instants of the earliest and latest frame in seconds.
        longest: seconds between two frames, at most.
    """

    frames: int = 0
    first: Fraction = Fraction(0)
    last: Fraction = Fraction(0)
    longest: Fraction = Fraction(0)

    def add(self, instant: Fraction) -> None:
        """Count a frame at ``instant``."""
        if not self.frames:
            self.first = instant
        else:
            self.longest = max(self.longest, instant - self.last)
        self.frames += 1
        self.last = instant


def verify_file(path: Path, shown: Path, position: int, written: Written) -> None:
    """Check number of frames and duration of a finished file.

    Args:
        path: the file to read.
        shown: the name the user knows it by.
        position: of the encoded track among the file's video tracks, cover pictures not counted.
        written: what it must hold.

    Raises:
        SinkError: it holds something else, or cannot be read.
    """
    try:
        frames, span = _measure(path, position)
    except (av.error.FFmpegError, OSError, IndexError) as exc:
        raise SinkError(f"{shown}: the written file cannot be read back ({exc}). Is the disk full?") from exc
    if frames != written.frames:
        raise SinkError(
            f"{shown}: wrote {written.frames} frames, but the file holds {frames}. Use another container, such as .mkv"
        )
    _check_span(shown, span, written)


def verify_end(path: Path, shown: Path, position: int, written: Written) -> None:
    """Check that a finished file can be read, and ends where the last frame was; quick however long it is.

    Arguments and errors as for ``verify_file``.
    """
    try:
        span = _span_of_ends(path, position, written.last - written.first)
    except (av.error.FFmpegError, OSError, IndexError, ValueError) as exc:
        raise SinkError(f"{shown}: the written file cannot be read back ({exc}). Is the disk full?") from exc
    _check_span(shown, span, written)


def ends_where_it_says(container: InputContainer) -> bool:
    """Whether the end that an open file's header promises is there; quick. True where the header promises none."""
    video = _track(container, 0)
    if not container.duration:
        return True
    end = Fraction((container.start_time or 0) + container.duration, av.time_base)
    container.seek(max(0, round((end - _END) / exact(video.time_base or 1))), stream=video)
    return any(
        packet.pts is not None
        and packet.time_base
        and (packet.pts + (packet.duration or 0)) * exact(packet.time_base) + _END >= end
        for packet in container.demux()
    )


def _check_span(shown: Path, span: Fraction, written: Written) -> None:
    if abs(span - (written.last - written.first)) > written.longest + _ROUNDING:
        raise SinkError(
            f"{shown}: frames span {float(written.last - written.first):.3f} s, but {float(span):.3f} s in the file. "
            "Use another container, such as .mkv"
        )


def _span_of_ends(path: Path, position: int, length: Fraction) -> Fraction:
    """Seconds from the first to the last presentation time; ``length`` is where the last one should be."""
    with open_file(path) as container:
        video = _track(container, position)
        first = next(_instants(container, video), None)
        if first is None:
            raise ValueError("no frames")
        container.seek(round((first + length) / exact(video.time_base or 1)), stream=video)
        return max(_instants(container, video), default=first) - first


def _track(container: InputContainer, position: int) -> av.VideoStream:
    return [stream for stream in container.streams.video if not is_attached_picture(stream)][position]


def _instants(container: InputContainer, video: av.VideoStream) -> Iterator[Fraction]:
    """Presentation times of the packets from here on, in seconds, in the order of the file."""
    for packet in container.demux(video):
        if packet.size and packet.pts is not None and packet.time_base:
            yield packet.pts * exact(packet.time_base)


def _measure(path: Path, position: int) -> tuple[int, Fraction]:
    """Number of video packets and seconds from the first to the last presentation time."""
    frames = 0
    instants: list[Fraction] = []
    with open_file(path) as container:
        video = _track(container, position)
        for packet in container.demux(video):
            if not packet.size:
                continue
            frames += 1
            if packet.pts is not None and packet.time_base:
                instant = packet.pts * Fraction(packet.time_base)
                instants = [min(instant, *instants), max(instant, *instants)] if instants else [instant]
    return frames, (instants[-1] - instants[0]) if instants else Fraction(0)
