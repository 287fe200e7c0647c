"""One connection to a receiver: encoder, sound and the pipe to the process that sends them."""

from __future__ import annotations

import contextlib
import threading
from fractions import Fraction
from typing import Any, cast

import av

from malle_rt.errors import SinkError
from malle_rt.frame import Frame, Packet
from malle_rt.live.outlets.beginning import Beginning
from malle_rt.live.outlets.relay import PIPE_FORMAT, Relay
from malle_rt.media.encode_config import EncodeConfig
from malle_rt.media.output_streams import OutputStreams
from malle_rt.media.template import Template

__all__ = ["KEYFRAMES", "Connection"]

# Seconds between pictures that can be decoded without others: the longest that a new viewer waits.
KEYFRAMES = 2

# Microseconds that a picture waits for sound that does not come.
_OPTIONS = {"flush_packets": "1", "max_interleave_delta": "200000"}
# Seconds for the receiver to take the last packets.
_LAST_PACKETS = 1.0


class Connection:
    """Encodes frames from the first one on; the receiver's time begins at 0 with it. Used by one thread."""

    def __init__(
        self,
        command: list[str],
        template: Template,
        config: EncodeConfig,
        first: Frame,
        interrupted: threading.Event,
    ) -> None:
        """Start the process and the encoder.

        Args:
            command: see ``relay_command``.
            template: the source, with the sound that can be sent.
            config: encoder settings.
            first: the frame to begin with.
            interrupted: set where no write may wait any longer than a moment.

        Raises:
            ConfigError: the encoder refuses its settings.
            SinkError: the process cannot be started.
        """
        self._beginning = Beginning(first)
        self._last_key = Fraction(0)  # s, of the receiver's time
        self._relay = Relay(command, interrupted)
        try:
            self._container = av.open(
                cast(Any, self._relay), "w", format=PIPE_FORMAT, container_options=_OPTIONS
            )
        except BaseException:
            self._relay.close(0)
            raise
        try:
            self._streams = OutputStreams(self._container, template, config)
        except BaseException:
            self.abort()
            raise

    @property
    def connected(self) -> bool:
        """Whether the receiver has ever been reached."""
        return self._relay.connected

    def write(self, item: Frame | Packet) -> None:
        """Send a frame, or a packet of sound.

        Raises:
            SinkError: the connection is gone, or takes nothing.
        """
        packets = self._encoded(item) if isinstance(item, Frame) else self._copied(item)
        self._mux(packets)
        self._relay.look()

    def finish(self) -> None:
        """Send what the encoder still holds, and end the connection within a second or two.

        Raises:
            SinkError: the connection is gone, or takes nothing.
        """
        try:
            self._mux(self._streams.flush())
            self._container.close()
            self._relay.close(_LAST_PACKETS)
        finally:
            self.abort()

    def abort(self) -> None:
        """End the connection at once. May be called twice."""
        self._relay.close(0)
        # What it would still write has nowhere to go.
        with contextlib.suppress(av.error.FFmpegError, OSError, ValueError, SinkError):
            self._container.close()

    def _encoded(self, frame: Frame) -> list[av.Packet[Any]]:
        moved = self._beginning.frame(frame)
        # The encoder counts pictures: of a camera that gives fewer than it promised, a viewer would wait longer.
        key = moved.seconds >= self._last_key + KEYFRAMES
        if key:
            self._last_key = moved.seconds
        return self._streams.encoder.encode(moved, key=key)

    def _copied(self, packet: Packet) -> list[av.Packet[Any]]:
        moved, track = self._beginning.packet(packet), self._streams.tracks.get(packet.track)
        if moved is None or track is None:
            return []
        payload = cast("av.Packet[Any]", moved.payload)
        return track.packets(payload, self._streams.shift)

    def _mux(self, packets: list[av.Packet[Any]]) -> None:
        try:
            self._container.mux(packets)
        except (av.error.FFmpegError, OSError, ValueError) as exc:
            raise SinkError(getattr(exc, "strerror", None) or str(exc)) from exc
