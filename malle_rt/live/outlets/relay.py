"""The process that sends video to the network for us, both ends of it.

FFmpeg connects, looks up names and writes headers while PyAV holds the interpreter's lock, and PyAV gives outputs
neither timeout nor interrupt: a server that accepts and says nothing would stop every thread of a session for
good. A process of its own can always be ended.

Run as ``python -m malle_rt.live.outlets.relay URL FORMAT`` it sends the video on its standard input, without looking
into it. It says "connected" on standard output, and on standard error in one line why it ends, if that is before its
input does.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import lru_cache
from typing import IO

import av

from malle_rt.child import module_command
from malle_rt.errors import ConfigError, SinkError
from malle_rt.live.outlets.address import PushAddress
from malle_rt.media.compat import add_copy

__all__ = ["PIPE_FORMAT", "Relay", "knows_srt", "relay_command"]

# What the process reads: holds any codec, begins at once, and older FFmpeg versions read it.
PIPE_FORMAT = "nut"
# Seconds in which the process must take what it is given: longer than a network hiccup, shorter than patience.
_STALL = 4.0
# Seconds for all writes together once the session ends.
_HURRY = 0.5
# Seconds between two looks at a full pipe.
_POLL = 0.005
# Seconds from the end of the pipe to the end of the process.
_LAST_WORDS = 1.0
_MESSAGE = 4096  # characters kept of what the process says
# The tracks' headers say all: reading ahead would only add delay.
_READING = {"probesize": "32", "analyzeduration": "0"}
# Seconds for one call to the network.
_PATIENCE = 20
# Microseconds that a picture waits for sound that does not come.
_WRITING = {"flush_packets": "1", "max_interleave_delta": "200000"}
_BY_FORMAT = {"rtsp": {"rtsp_transport": "tcp"}, "flv": {"flvflags": "no_duration_filesize"}}


def relay_command(address: PushAddress) -> list[str]:
    """The command of a process that sends what comes on its standard input.

    Raises:
        ConfigError: nothing here can send there.
    """
    if not address.url.lower().startswith("srt:"):
        return module_command("malle_rt.live.outlets.relay", address.url, address.format)
    # PyAV's wheels come without SRT; distributions build their ffmpeg program with it.
    program = shutil.which("ffmpeg")
    if program is None or not knows_srt(program):
        raise ConfigError("srt needs an ffmpeg program that was built with it (Debian: apt install ffmpeg)")
    reading = ["-probesize", "32", "-analyzeduration", "0", "-f", PIPE_FORMAT]
    writing = ["-map", "0", "-c", "copy", "-flush_packets", "1", "-progress", "pipe:1", "-f", address.format]
    return [program, "-hide_banner", "-loglevel", "error", *reading, "-i", "pipe:0", *writing, address.url]


class Relay:
    """A running process and the pipe to it, as a file that PyAV writes to. Used by one thread."""

    def __init__(self, command: list[str], interrupted: threading.Event) -> None:
        """Start it.

        Args:
            command: of the process; it says anything on standard output once it is connected.
            interrupted: set where no write may wait any longer than a moment.

        Raises:
            SinkError: it cannot be started.
        """
        self._interrupted = interrupted
        self._said = b""
        self._closed = False
        self._last_moment: float | None = None
        self.connected = False
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,  # Ctrl-C in a terminal is for us, who end it in order
            )
        except OSError as exc:
            raise SinkError(f"{command[0]}: cannot be started ({exc.strerror})") from exc
        for pipe in self._pipes:
            os.set_blocking(pipe.fileno(), False)

    @property
    def _pipes(self) -> tuple[IO[bytes], IO[bytes], IO[bytes]]:
        process = self._process
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        return process.stdin, process.stdout, process.stderr

    def write(self, data: bytes) -> int:
        """Give the process data, waiting for it a few seconds at most.

        Raises:
            SinkError: it has ended, or takes nothing.
        """
        if self._closed:
            raise SinkError("the connection ended")
        rest, began = memoryview(data), time.monotonic()
        while rest:
            try:
                rest = rest[os.write(self._pipes[0].fileno(), rest) :]
            except BlockingIOError:
                if time.monotonic() > self._deadline(began):
                    raise SinkError(self._why("the receiver takes no more data")) from None
                time.sleep(_POLL)
                self.look()
            except OSError as exc:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(_LAST_WORDS)
                raise SinkError(self._why("the connection ended")) from exc
        return len(data)

    def look(self) -> None:
        """Read what the process says, and see whether it is alive.

        Raises:
            SinkError: it has ended; with what it said last.
        """
        self.connected = bool(_read(self._pipes[1])) or self.connected
        if self._process.poll() is not None:
            raise SinkError(self._why("the connection ended"))
        self._hear()

    def close(self, seconds: float) -> None:
        """End its input, give it so long to send the rest, and end it in any case. May be called twice."""
        if self._closed:
            return
        self._closed = True
        self._pipes[0].close()
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        # It may have sent all before it was looked at; one that failed ends with another code.
        self.connected = self.connected or self._process.returncode == 0
        for pipe in self._pipes[1:]:
            pipe.close()

    def _deadline(self, began: float) -> float:
        """When a write that began then gives up, on the clock of ``time.monotonic``."""
        if self._interrupted.is_set() and self._last_moment is None:
            self._last_moment = time.monotonic() + _HURRY
        return began + _STALL if self._last_moment is None else self._last_moment

    def _hear(self) -> None:
        self._said = (self._said + _read(self._pipes[2]))[-_MESSAGE:]

    def _why(self, otherwise: str) -> str:
        """The last line it said."""
        self._hear()
        lines = self._said.decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), otherwise)


def _read(pipe: IO[bytes]) -> bytes:
    """What is there to be read now."""
    try:
        return os.read(pipe.fileno(), _MESSAGE)
    except BlockingIOError:
        return b""


@lru_cache(maxsize=4)
def knows_srt(program: str) -> bool:
    """Whether an ffmpeg program can send over SRT."""
    command = [program, "-hide_banner", "-protocols"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return "srt" in done.stdout.partition("Output:")[2].split()


def _main(url: str, form: str) -> int:
    """Send until the input ends; returns the exit code."""
    try:
        _send(url, form)
    except (av.error.FFmpegError, OSError, ValueError) as exc:
        sys.stderr.write(f"{getattr(exc, 'strerror', None) or exc}\n")
        return 1
    return 0


def _send(url: str, form: str) -> None:
    # Not sys.stdin: a buffered file waits until it can give as much as was asked for.
    with av.open("pipe:0", format=PIPE_FORMAT, options=_READING) as source:
        target = av.open(url, "w", format=form, container_options=_WRITING | _BY_FORMAT.get(form, {}))
        with target:
            tracks = [add_copy(target, stream) for stream in source.streams]
            with _bounded():
                target.start_encoding()
            sys.stdout.write("connected\n")
            sys.stdout.flush()
            for packet in source.demux():
                if packet.size:
                    if packet.dts is None:  # not known of the first picture without reading ahead
                        packet.dts = packet.pts
                    packet.stream = tracks[packet.stream_index]
                    with _bounded():
                        target.mux(packet)


@contextlib.contextmanager
def _bounded() -> Iterator[None]:
    """End this process where a call takes too long, so that it does not outlive a session that was killed.

    By the alarm's own, fatal action: no handler of Python's would run while FFmpeg is in the call.
    """
    if not hasattr(signal, "alarm"):  # Windows
        yield
        return
    signal.alarm(_PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
