"""Stream servers on the loopback interface, as processes that tests may stop, continue, kill and start again."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from media import to_picture

from malle_rt.media.synthetic import SyntheticSource

CLIP_FRAMES, CLIP_RATE, CLIP_SIZE = 100, Fraction(25), (160, 96)
_PROGRAM = Path(__file__).with_name("stream_server.py")
_SCHEMES = {"udp": "udp", "http": "http", "rtsp": "rtsp", "silent": "rtsp", "trickle": "tcp"}
_PATHS = {"udp": "", "http": "/live", "rtsp": "/camera", "silent": "/camera", "trickle": ""}


class StreamServer:
    """A clip served at its own pace, again and again; each frame carries its index.

    Attributes:
        port: of the server; the same after ``restart``.
        url: where viewers find it.
    """

    def __init__(
        self, kind: str, clip: Path, *, password: str = "", transport: str = "any", port: int | None = None
    ) -> None:
        """Start nothing yet.

        Args:
            kind: "udp" (MPEG-TS, sent whether or not anybody listens), "http" (MPEG-TS), "rtsp", "silent",
                which accepts connections and says nothing, or "trickle" (raw H.264 without timestamps, over TCP).
            clip: from ``write_stream_clip``.
            password: "user:password" that HTTP and RTSP ask for; "" for none.
            transport: what RTSP viewers may use: "any", "tcp" or "udp".
            port: to listen on, or to send to; None for a free one.
        """
        self.port = port or free_port(datagrams=kind == "udp")
        self.url = f"{_SCHEMES[kind]}://127.0.0.1:{self.port}{_PATHS[kind]}"
        self._command = [sys.executable, str(_PROGRAM), kind, str(clip), str(self.port)]
        self._command += ["--password", password, "--transport", transport]
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> StreamServer:
        self.restart()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def restart(self) -> None:
        """Start the server, again after ``kill``; it listens when this returns."""
        self.kill()
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline().strip() == "ready", "the server of the test did not start"

    def kill(self) -> None:
        """End it as a power cut would."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(10)
            assert process.stdout is not None
            process.stdout.close()

    def stall(self) -> None:
        """Stop it where it is: connections stay open, nothing comes."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Continue after ``stall``."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


def free_port(*, datagrams: bool = False) -> int:
    """A port that nobody uses."""
    kind = socket.SOCK_DGRAM if datagrams else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write_stream_clip(
    path: Path, *, frames: int = CLIP_FRAMES, size: tuple[int, int] = CLIP_SIZE, sample_rate: int = 48000
) -> Path:
    """H.264 with a keyframe twice per second and AAC stereo, in a container of the path's extension."""
    source = SyntheticSource(frames, size, CLIP_RATE)
    x264 = {"preset": "ultrafast", "tune": "zerolatency", "crf": "18", "g": "12"}
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=CLIP_RATE, options=x264)
        video.width, video.height = size
        video.pix_fmt = "yuv420p"
        audio = container.add_stream("aac", rate=sample_rate, layout="stereo")
        written = 0
        for frame in source:
            container.mux(video.encode(to_picture(frame)))
            while written < (frame.pts + 1) / CLIP_RATE * sample_rate:
                container.mux(audio.encode(_tone(written, sample_rate)))
                written += 1024
        container.mux(video.encode())
        container.mux(audio.encode())
    return path


def _tone(first_sample: int, sample_rate: int) -> av.AudioFrame:
    """1024 samples of 440 Hz."""
    seconds = (np.arange(1024) + first_sample) / sample_rate
    wave = np.repeat(np.sin(2 * np.pi * 440 * seconds)[None], 2, axis=0).astype(np.float32) / 4
    frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="stereo")
    frame.sample_rate, frame.pts, frame.time_base = sample_rate, first_sample, Fraction(1, sample_rate)
    return frame
