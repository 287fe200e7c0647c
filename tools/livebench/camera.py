"""A camera for measurements: noisy pictures with a clock in them, as H.264 over UDP, from a process of its own."""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from livebench.clock import Gray, milliseconds, write_clock
from malle_rt.media.synthetic import SyntheticSource

__all__ = ["Camera"]

_NOISES = 8  # different noise patterns, taken in turn; drawing new ones costs more than sending


class Camera:
    """The process; a context manager.

    Attributes:
        url: where its pictures come.
    """

    def __init__(self, size: tuple[int, int], fps: int, sigma: float) -> None:
        """Start nothing yet; ``sigma`` is of the luma's noise, 8-bit scale."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"udp://127.0.0.1:{port}"
        self._arguments = [
            self.url,
            "--size",
            "x".join(map(str, size)),
            "--fps",
            str(fps),
            "--sigma",
            str(sigma),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Send from now on, again after ``kill``."""
        self.kill()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "livebench.camera", *self._arguments], cwd=_TOOLS
        )

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def __enter__(self) -> Camera:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


_TOOLS = Path(__file__).parents[1]


def _send(url: str, size: tuple[int, int], fps: int, sigma: float) -> None:
    width, height = size
    source = SyntheticSource(1, size)
    planes = source.clean(0).planes
    noisy = [_noisy(np.asarray(planes[0]), sigma, seed) for seed in range(_NOISES)]
    with av.open(url + "?pkt_size=1316", "w", format="mpegts", options={"flush_packets": "1"}) as out:
        stream = out.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 90000)
        stream.options = {"preset": "ultrafast", "tune": "zerolatency", "crf": "23", "g": str(fps)}
        picture = av.VideoFrame(width, height, "yuv420p")
        for index in range(1, 3):
            _fill(picture, index, np.asarray(planes[index]))
        begin = time.monotonic()
        for number in range(1 << 40):
            time.sleep(max(0.0, begin + number / fps - time.monotonic()))
            luma = noisy[number % _NOISES].copy()
            write_clock(luma, milliseconds())
            picture.make_writable()
            _fill(picture, 0, luma)
            picture.pts = round((time.monotonic() - begin) * 90000)
            picture.time_base = Fraction(1, 90000)
            out.mux(stream.encode(picture))


def _noisy(luma: Gray, sigma: float, seed: int) -> Gray:
    noise = np.random.default_rng(seed).standard_normal(luma.shape, np.float32) * np.float32(sigma)
    noisy: Gray = np.clip(np.rint(luma + noise), 16, 235).astype(np.uint8)
    return noisy


def _fill(picture: av.VideoFrame, index: int, samples: Gray) -> None:
    plane = picture.planes[index]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    rows[: samples.shape[0], : samples.shape[1]] = samples


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--fps", type=int, default=30)
    parser.add_argument("--sigma", type=float, default=12.0)
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    _send(options.url, (width, height), options.fps, options.sigma)


if __name__ == "__main__":
    _main()
