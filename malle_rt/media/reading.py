"""Demux and decode that go on behind damage: what is broken is skipped and counted."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import av
from av.container import InputContainer

from malle_rt.errors import SourceError

__all__ = ["Reader"]

log = logging.getLogger(__name__)

# Reading errors in a row, without one good packet, after which the rest of the file counts as lost.
_HOPELESS = 100


class Reader:
    """Reads packets and decodes one video track of a container.

    Attributes:
        corrupt_packets: packets that could not be read or decoded.
    """

    def __init__(self, container: InputContainer, video: av.VideoStream, name: str) -> None:
        """``name``: what messages call the input; its URL may hold a password."""
        self.corrupt_packets = 0
        self._name = name
        self._container = container
        self._video = video

    def packets(self) -> Iterator[av.Packet[Any]]:
        """All packets of the container in its order, without the empty ones PyAV adds at the end.

        Raises:
            SourceError: a network stream that stalled or broke.
        """
        errors = 0
        while errors < _HOPELESS:
            try:
                for packet in self._container.demux():
                    errors = 0
                    if packet.size or packet.dts is not None:
                        yield packet
                return
            except IndexError:
                # PyAV before 19, at the end of a stream that has got a further track meanwhile.
                return
            except (av.error.TimeoutError, av.error.ExitError) as exc:
                raise SourceError(f"{self._name}: no data any more, gave up waiting. Reconnect") from exc
            except av.error.FFmpegError as exc:
                errors += 1
                self._count(exc)
        log.warning("%s: nothing readable follows; treated as its end", self._name)

    def decode(self, packet: av.Packet[Any]) -> list[av.VideoFrame]:
        """Frames that the packet completes; none when it is damaged."""
        try:
            frames = self._video.codec_context.decode(packet)
        except av.error.FFmpegError as exc:
            self._count(exc)
            return []
        return frames

    def drain(self) -> Iterator[av.VideoFrame]:
        """Frames the decoder still holds at the end."""
        errors = 0
        while errors < _HOPELESS:
            try:
                frames = self._video.codec_context.decode(None)
            except av.error.EOFError:
                return
            except av.error.FFmpegError as exc:
                errors += 1
                self._count(exc)
                continue
            if not frames:
                return
            yield from frames

    def _count(self, exc: av.error.FFmpegError) -> None:
        if not self.corrupt_packets:
            log.warning(
                "%s: damaged data is skipped (%s); more of it is only counted", self._name, exc.strerror
            )
        self.corrupt_packets += 1
