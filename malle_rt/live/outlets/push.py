"""Send the video to a server or a player: RTSP, RTMP, SRT, MPEG-TS over UDP or TCP."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from dataclasses import replace
from fractions import Fraction
from typing import Any, cast

import av

from malle_rt.errors import SinkError
from malle_rt.frame import Frame, Packet, VideoInfo
from malle_rt.live.outlets.address import PushAddress
from malle_rt.live.outlets.outlet import Beginning, live_template, sized
from malle_rt.live.outlets.relay import PIPE_FORMAT, Relay, relay_command
from malle_rt.media.encode_config import EncodeConfig
from malle_rt.media.output_streams import OutputStreams
from malle_rt.media.template import Template

__all__ = ["Connection", "PushSink", "low_delay_config"]

log = logging.getLogger(__name__)

# Seconds to wait before connecting again: doubled with each failure, from the first to the second.
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 8.0
_ASSUMED_RATE = 25
_STARTING = 5.0  # seconds in which it is no problem that nothing has been sent: the sending process starts
# Seconds between pictures that can be decoded without others: the longest that a new viewer waits.
_KEYFRAMES = 2
# Microseconds that a picture waits for sound that does not come.
_MUXING = {"flush_packets": "1", "max_interleave_delta": "200000"}
# Seconds for the receiver to take the last packets.
_LAST_PACKETS = 1.0


def low_delay_config(info: VideoInfo) -> EncodeConfig:
    """H.264 that leaves the encoder with the picture that went in, for any player and for viewers who come late."""
    rate = info.frame_rate or _ASSUMED_RATE
    # Frame threads, which our encoder asks for, would hold back one picture each; headers once would be too few.
    x264 = "sliced-threads=1:repeat-headers=1"
    options = {
        "tune": "zerolatency",
        "bf": "0",
        "g": str(max(1, round(_KEYFRAMES * rate))),
        "x264-params": x264,
    }
    return EncodeConfig(codec="libx264", crf=21, preset="veryfast", pix_fmt="yuv420p", options=options)


class PushSink:
    """Sends frames and sound, and connects again when the receiver goes away. Satisfies ``LiveSink``."""

    def __init__(self, url: str, template: Template, config: EncodeConfig | None = None) -> None:
        """Check the address; the first frame connects.

        Args:
            url: where to.
            template: the source, for its sound and its colours.
            config: encoder settings; None for ``low_delay_config``.

        Raises:
            ConfigError: video cannot be sent to such an address.
        """
        self._address = PushAddress.parse(url)
        self._command = relay_command(self._address)
        self._template = self._sendable(live_template(template))
        self._config = config or low_delay_config(template.info)
        self._interrupted = threading.Event()
        self._connection: Connection | None = None
        self._lost = 0
        self._wait = _FIRST_WAIT
        self._due = 0.0  # when to connect again, on the clock of time.monotonic
        self._problem: str | None = "nothing could be sent yet"
        self._starting_until = time.monotonic() + _STARTING
        self._tries_again = False

    @property
    def problem(self) -> str | None:
        """Why nothing is sent, one line; None while it is."""
        if time.monotonic() < self._starting_until and not self._interrupted.is_set():
            return None
        problem, goes_on = self._problem, self._tries_again and not self._interrupted.is_set()
        return f"{problem}; trying again" if problem is not None and goes_on else problem

    @property
    def lost(self) -> int:
        """Frames that came while there was no connection."""
        return self._lost

    def interrupt(self) -> None:
        """Let no write wait longer than a moment from now on. From any thread."""
        self._interrupted.set()

    def write(self, item: Frame | Packet) -> None:
        """Send a frame or a packet of sound, or lose it where nobody takes it.

        Raises:
            ConfigError: the encoder refuses its settings.
        """
        try:
            if self._connection is None and isinstance(item, Frame) and self._may_connect:
                self._connection = self._connect(item)
            if self._connection is None:
                self._lost += isinstance(item, Frame)
                return
            self._connection.write(item)
        except SinkError as exc:
            self._lost += isinstance(item, Frame)
            self._disconnect(self._reason(exc))
            return
        if self._connection.connected:
            self._problem, self._wait = None, _FIRST_WAIT

    def finish(self) -> None:
        """Send the rest and end the connection; a receiver that does not take it is left."""
        self._tries_again = False
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.finish()
                if connection.connected:
                    self._problem = None
            except SinkError as exc:
                self._problem = self._reason(exc)

    def abort(self) -> None:
        """End the connection. May be called twice."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()

    @property
    def _may_connect(self) -> bool:
        return time.monotonic() >= self._due and not self._interrupted.is_set()

    def _connect(self, first: Frame) -> Connection:
        return Connection(self._command, sized(self._template, first), self._config, first, self._interrupted)

    def _disconnect(self, reason: str) -> None:
        self.abort()
        self._problem, self._tries_again, self._starting_until = reason, True, 0.0
        log.info("%s: %s; trying again in %.1f s", self._address.shown, reason, self._wait)
        self._due = time.monotonic() + self._wait
        self._wait = min(2 * self._wait, _LONGEST_WAIT)

    def _reason(self, error: SinkError) -> str:
        """What happened, in words that may be shown."""
        return self._address.taken_out_of(str(error)) or "the connection ended"

    def _sendable(self, template: Template) -> Template:
        """The template with no other tracks than sound that the format holds."""
        kept = []
        for stream in template.others:
            context = stream.codec_context
            if (
                stream.type == "audio"
                and context is not None
                and self._address.holds_sound(context.name, configured=bool(context.extradata))
            ):
                kept.append(stream)
            else:
                log.warning("track %d, %s, is not sent to %s", stream.index, stream.type, self._address.shown)
        return replace(template, others=tuple(kept))


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
                cast(Any, self._relay), "w", format=PIPE_FORMAT, container_options=_MUXING
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
        key = moved.seconds >= self._last_key + _KEYFRAMES
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
