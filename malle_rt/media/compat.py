"""What newer PyAV versions can do and older ones cannot, asked in one place.

PyAV 14 (the oldest we run on) has no chapters, no frame durations, no display matrix on outputs; each function
here says what the answer is then.
"""

from __future__ import annotations

from typing import Any

import av
from av.container import OutputContainer

__all__ = [
    "add_copy",
    "can_write_display_matrix",
    "chapters_of",
    "disposition_of",
    "frame_duration",
    "set_chapters",
    "set_frame_duration",
]


# Asked of the docstring: a wrong guess leaves a half-made stream behind.
_HAS_OPAQUE = "opaque" in (OutputContainer.add_stream_from_template.__doc__ or "")


def add_copy(container: OutputContainer, source: Any) -> Any:
    """Add a stream for packets of ``source`` as they are; PyAV 14.0 does so without being told."""
    if not _HAS_OPAQUE:
        return container.add_stream_from_template(source)
    return container.add_stream_from_template(source, opaque=True)


def can_write_display_matrix() -> bool:
    """Whether an encoded stream can be told how to be turned for display (PyAV 18)."""
    return hasattr(av.VideoStream, "set_display_matrix")


def chapters_of(container: Any) -> list[Any]:
    """Chapters as PyAV's dictionaries; none before PyAV 15."""
    return list(container.chapters()) if hasattr(container, "chapters") else []


def set_chapters(container: Any, chapters: list[Any]) -> bool:
    """Give an output its chapters; False where PyAV cannot."""
    if not hasattr(container, "set_chapters"):
        return False
    container.set_chapters(chapters)
    return True


def disposition_of(stream: Any) -> int:
    """FFmpeg's disposition bits of a stream (default, forced, attached picture ...); 0 where PyAV cannot say."""
    return int(getattr(stream, "disposition", 0))


def frame_duration(picture: av.VideoFrame) -> int:
    """Duration in units of the frame's time_base; 0 when unknown."""
    return int(getattr(picture, "duration", 0) or 0)


def set_frame_duration(picture: av.VideoFrame, duration: int) -> None:
    """Tell the encoder how long the frame is shown; without it the muxer derives it from the next frame."""
    if hasattr(picture, "duration"):
        picture.duration = duration
