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
import numpy.typing as npt

from malle_rt.media.synthetic import SyntheticSource

__all__ = ["PLACE", "Camera", "age", "milliseconds", "read_clock", "write_clock"]

# The strip, as shares of the picture's height. Low in the picture: overlays and labels are at its top.
PLACE = (0.70, 0.82)
_BITS = 16
_DARK, _BRIGHT = 40, 210
_CONTRAST = 60  # between the two of a bit; less is a picture in the middle of changing

Gray = npt.NDArray[np.uint8]


def milliseconds() -> int:
    """Now, on the clock that all processes of a machine share; begins again every 65.5 seconds."""
    return round(time.time() * 1000) % (1 << _BITS)


def age(drawn: int) -> int:
    """Milliseconds since an instant of ``milliseconds``."""
    return (milliseconds() - drawn) % (1 << _BITS)


def write_clock(luma: Gray, now: int) -> None:
    """Draw an instant into (rows, columns) luma: a row of bits, and below it the same inverted."""
    top, bottom = (round(share * luma.shape[0]) for share in PLACE)
    middle = (top + bottom) // 2
    bits = [now >> (_BITS - 1 - index) & 1 for index in range(_BITS)]
    for rows, inverted in ((luma[top:middle], 0), (luma[middle:bottom], 1)):
        for bit, block in zip(bits, np.array_split(rows, _BITS, axis=1), strict=True):
            block[:] = _BRIGHT if bit ^ inverted else _DARK


def read_clock(strip: Gray) -> int | None:
    """The instant in a strip (rows, columns) that shows ``PLACE`` of the picture; None where it is not whole."""
    rows = strip.shape[0]
    upper, lower = strip[rows // 8 : rows * 3 // 8], strip[rows * 5 // 8 : rows * 7 // 8]
    differences = [
        float(np.median(one)) - float(np.median(other))
        for one, other in zip(_cores(upper), _cores(lower), strict=True)
    ]
    if min(map(abs, differences)) < _CONTRAST:
        return None
    return sum((difference > 0) << (_BITS - 1 - index) for index, difference in enumerate(differences))


def _cores(rows: Gray) -> list[Gray]:
    """The middle half of each block."""
    blocks = np.array_split(rows, _BITS, axis=1)
    return [block[:, block.shape[1] // 4 : block.shape[1] * 3 // 4] for block in blocks]


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
