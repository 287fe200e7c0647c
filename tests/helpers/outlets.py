"""What outlets are fed with, sinks that are slow or break, and receivers of what they send."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
from media import write_film

from malle_rt.errors import SinkError
from malle_rt.frame import Frame, Packet, VideoInfo
from malle_rt.live.frame import LiveFrame
from malle_rt.media.synthetic import SyntheticSource
from malle_rt.media.template import Template

RATE = Fraction(25)
# The live clock is anywhere when an outlet is opened.
START = Fraction(1234567, 1000)
UNIT = Fraction(1, 90000)


def shots(count: int, *, size=(64, 48), first: int = 0, start: Fraction = START, noise: float = 0.0):
    """Shots that carry their index; real cameras are not even: every fourth comes 7 ms late."""
    source = SyntheticSource(first + count, size, RATE, noise_sigma=noise)
    for index in range(first, first + count):
        frame = source.clean(index) if not noise else source._frame(index, noisy=True)
        late = Fraction(7, 1000) if index % 4 == 3 else 0
        pts = round((start + index / RATE + late) / UNIT)
        yield LiveFrame(frame.planes, frame.pix_fmt, pts, UNIT, color=frame.color, raw=frame)


def bare_template(size=(64, 48)) -> Template:
    """Of a camera: no sound, no container."""
    info = SyntheticSource(1, size, RATE).info
    return Template(info=VideoInfo(*size, "yuv420p", UNIT, RATE, color=info.color))


@contextmanager
def sounding(folder: Path, seconds: int) -> Iterator[tuple[Template, list[Packet]]]:
    """A template with an AAC track, and its packets on the live clock, from ``START`` on."""
    path = write_film(folder / "sound.mkv", frames=int(seconds * RATE))
    with av.open(str(path)) as film:
        stream = film.streams.audio[0]
        template = replace(bare_template(), video=film.streams.video[0], others=(stream,))
        yield template, [_live(packet) for packet in film.demux(stream) if packet.size]


def _live(packet: av.Packet) -> Packet:
    ticks = round(START / packet.time_base)
    copy = av.Packet(bytes(packet))
    copy.time_base, copy.duration = packet.time_base, packet.duration
    copy.pts, copy.dts, copy.is_keyframe = packet.pts + ticks, packet.dts + ticks, True
    return Packet(copy, packet.stream_index)


def mixed(frames, packets) -> list[Frame | Packet]:
    """Frames and packets in the order of their instants."""
    items = [(float(frame.seconds), frame) for frame in frames]
    items += [(float(packet.payload.pts * packet.payload.time_base), packet) for packet in packets]
    return [item for _, item in sorted(items, key=lambda each: each[0])]


def until(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Wait for a condition, at most so long."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


class GatedSink:
    """Takes one frame for each time it is let, and remembers them."""

    def __init__(self) -> None:
        self.items: list[Frame | Packet] = []
        self.gate = threading.Semaphore(0)
        self.finished = self.aborted = False

    def write(self, item: Frame | Packet) -> None:
        if not self.gate.acquire(timeout=30):
            raise SinkError("nobody opened the gate")
        self.items.append(item)

    def finish(self) -> None:
        self.finished = True

    def abort(self) -> None:
        self.aborted = True


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    """A port that nobody has just now."""
    with socket.socket(socket.AF_INET, kind) as trial:
        trial.bind(("127.0.0.1", 0))
        return trial.getsockname()[1]


def listening(port: int) -> bool:
    """Whether somebody has taken the port; asked without connecting, which would use up a one-time listener."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as trial:
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                return True
    return False


class TcpReceiver:
    """Accepts one connection after another, and reads what comes or never does.

    Attributes:
        port: where it listens.
        streams: what came by each connection.
    """

    def __init__(self, *, reads: bool, port: int = 0) -> None:
        self._server = socket.create_server(("127.0.0.1", port))
        self.port = self._server.getsockname()[1]
        self.streams: list[bytearray] = []
        self._reads = reads
        self._connections: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, name="malle-test-receiver")
        self._thread.start()

    def close(self) -> None:
        """Stop listening, and end all connections."""
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        self._thread.join(10)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                self._connections.append(connection)
                self.streams.append(bytearray())
                with contextlib.suppress(OSError):
                    while self._reads and (data := connection.recv(65536)):
                        self.streams[-1] += data


class Receiver:
    """The ffmpeg program, waiting for a stream and storing it as it is."""

    def __init__(self, url: str, target: Path, *options: str) -> None:
        command = ["ffmpeg", "-nostdin", "-loglevel", "error", *options, "-i", url]
        command += ["-map", "0", "-c", "copy", "-y", str(target)]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def wait(self, seconds: float = 20.0) -> None:
        """For the end of the stream."""
        self._process.wait(seconds)

    def close(self) -> None:
        """Kill it if it runs; may be called twice."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()
