"""Tracks of a broadcast that begin after the part FFmpeg looks at: their formats, from later places of the file."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import av
from av.container import InputContainer

from malle_rt.media.compat import open_reading
from malle_rt.media.opening import BROADCASTS, is_url, open_address, size_of
from malle_rt.media.play_lists import PIPE_OPTIONS

__all__ = ["LateTracks", "is_unknown"]

log = logging.getLogger(__name__)

_PLACES = 8
_LOOK = 2 << 20  # bytes to look at, at each place
_TAIL = 1 << 20  # bytes before the end at which the last place is
_KINDS = ("video", "audio", "subtitle")


class LateTracks:
    """Looks at a few places of a file, here or on a server, for tracks that its beginning does not show.

    Attributes:
        found: streams with a known format, by the index of the input's stream that has none. Valid until ``close``.
    """

    def __init__(self, container: InputContainer, location: str, shown: str) -> None:
        """Look at the file; warns of tracks that the input does not have at all, since their packets do not come.

        Args:
            container: the opened input.
            location: path or address of its file.
            shown: what messages call it.
        """
        self.found: dict[int, Any] = {}
        self._opened: list[_Place] = []
        size = size_of(container)
        if container.format.name not in BROADCASTS or not size:
            return
        known = {stream.id for stream in container.streams}
        wanted = {stream.id: stream.index for stream in container.streams if is_unknown(stream)}
        for place in _places(location, size, container.format.name):
            self._opened.append(place)
            streams = [stream for stream in place.container.streams if stream.type in _KINDS]
            for stream in streams:
                if stream.id in wanted and not is_unknown(stream):
                    self.found[wanted.pop(stream.id)] = stream
                elif stream.id not in known and stream.codec_context is not None:
                    known.add(stream.id)
                    log.warning(
                        "%s: %s (%s, id %#x) that is in a middle part of the input only is left out. Cut that part "
                        "out first, to have it",
                        shown,
                        stream.type,
                        stream.codec_context.name,
                        stream.id,
                    )
            if not any(stream in streams for stream in self.found.values()):
                self._opened.pop().close()

    def close(self) -> None:
        """Release the places. May be called twice."""
        while self._opened:
            self._opened.pop().close()


def is_unknown(stream: Any) -> bool:
    """Whether FFmpeg knows the codec of a stream of sound, but saw too little of it to know its format."""
    context = stream.codec_context
    return (
        stream.type == "audio"
        and context is not None
        and not (context.sample_rate and context.layout.nb_channels)
    )


class _Place:
    """An input opened from some byte on."""

    def __init__(self, location: str, offset: int, form: str) -> None:
        with ExitStack() as undo:
            if is_url(location):
                # Without seeking, as below.
                options = {"offset": str(offset), "seekable": "0", "probesize": str(_LOOK)}
                self.container = open_address(location, form=form, **options)
            else:
                file = undo.enter_context(Path(location).open("rb"))
                file.seek(offset)
                options = {**PIPE_OPTIONS, "probesize": str(_LOOK)}
                self.container = open_reading(_Tail(file), format=form, options=options)
            self._file = undo.pop_all()

    def close(self) -> None:
        self.container.close()
        self._file.close()


class _Tail:
    """A file without seeking: FFmpeg would look for its length at both ends."""

    name = ""

    def __init__(self, file: BinaryIO) -> None:
        self.read = file.read


def _places(location: str, size: int, form: str) -> Iterator[_Place]:
    """Places spread over the file, the last one near its end; those without anything readable are left out."""
    spread = {size * number // _PLACES for number in range(1, _PLACES)}
    for offset in sorted(spread | {max(0, size - _TAIL)}):
        try:
            yield _Place(location, offset, form)
        except (av.error.FFmpegError, OSError, ValueError):
            log.debug("nothing readable at byte %d", offset)
            if is_url(location):  # a server that answers no more would be waited for at each place
                return
