"""The tools a user would pick otherwise: filters of the ffmpeg program, and OpenCV."""

from __future__ import annotations

import io
import itertools
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from yardstick.process import TIMEOUT, measure
from yardstick.raw_video import RawVideo
from yardstick.search import Knob, Setting
from yardstick.tool import DenoiseRun, Tool
from yardstick.worker_run import run_worker

__all__ = ["ENCODER", "FFMPEG", "PEERS", "FfmpegFilter", "OpenCv", "missing_reason"]

FFMPEG = ("ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "error", "-y")
ENCODER = ("-c:v", "libx264", "-crf", "18", "-preset", "veryfast")


@dataclass(frozen=True)
class FfmpegFilter:
    """A filter of ffmpeg, with ffmpeg's own choice of threads.

    Attributes:
        template: the filter with its options; {0}, {1} ... are the knobs in order.
    """

    name: str
    template: str
    knobs: tuple[Knob, ...]
    frame_limit: int | None = None

    def label(self, setting: Setting) -> str:
        """The filter as it would be typed."""
        return self.template.format(*setting)

    def denoise(self, noisy: RawVideo, output: Path | None, setting: Setting) -> DenoiseRun:
        """Timed against ffmpeg's ``null`` filter: the difference is the filter, without start-up and file access."""
        usage = measure(self._raw_command(noisy, output, "null"))
        rest = usage.seconds
        usage = measure(self._raw_command(noisy, output, self.label(setting)))
        fps = noisy.frames / max(usage.seconds - rest, 1e-3)
        return DenoiseRun(fps, fps, usage)

    def frame_seconds(self, noisy: RawVideo, setting: Setting) -> list[float]:
        """From one frame's arrival at the end of a pipe to the next one's; reading and copying are in it."""
        width, height = noisy.size
        command = [*FFMPEG, *noisy.input_options(), "-vf", self.label(setting), "-f", "rawvideo", "-"]
        arrivals = []
        with subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0) as process:
            timer = threading.Timer(TIMEOUT, process.kill)
            timer.start()
            try:
                reader = io.BufferedReader(cast(io.RawIOBase, process.stdout), width * height * 3 // 2)
                while len(reader.read(width * height * 3 // 2)) == width * height * 3 // 2:
                    arrivals.append(time.perf_counter())
            finally:
                timer.cancel()
                process.kill()
        if len(arrivals) != noisy.frames:
            raise RuntimeError(f"{' '.join(command)}\ngave {len(arrivals)} frames of {noisy.frames}")
        return [after - before for before, after in itertools.pairwise(arrivals)]

    def transcode_command(self, source: Path, output: Path, setting: Setting) -> list[str]:
        """Decode, filter, encode."""
        return [*FFMPEG, "-i", str(source), "-vf", self.label(setting), *ENCODER, str(output)]

    def _raw_command(self, noisy: RawVideo, output: Path | None, graph: str) -> list[str]:
        target = ["-f", "rawvideo", str(output)] if output else ["-f", "null", "-"]
        return [*FFMPEG, *noisy.input_options(), "-vf", graph, *target]


@dataclass(frozen=True)
class OpenCv:
    """``cv2.fastNlMeansDenoisingColored``, which works on BGR: frames are converted to it and back."""

    name: str = "opencv"
    # One knob: hColor, the strength for colour, moves PSNR-Y by less than 0.02 dB from h / 10 to 2 h.
    knobs: tuple[Knob, ...] = (Knob("h", 0.5, 0.5, 100),)
    frame_limit: int | None = 4

    def label(self, setting: Setting) -> str:
        """The arguments."""
        return f"fastNlMeansDenoisingColored h={setting[0]:g} hColor={setting[0]:g}"

    def denoise(self, noisy: RawVideo, output: Path | None, setting: Setting) -> DenoiseRun:
        """Timed inside the process, around the calls."""
        return run_worker("opencv", noisy, output, f"{setting[0]:g}", f"{setting[0]:g}")

    def transcode_command(self, source: Path, output: Path, setting: Setting) -> None:
        """It is a function; there is no program."""


PEERS: dict[str, Tool] = {
    "nlmeans": FfmpegFilter("nlmeans", "nlmeans=s={0:g}:p=5:r=11", (Knob("s", 0.35, 1, 30),)),
    # The filter's own defaults: half as fast.
    "nlmeans-7-15": FfmpegFilter("nlmeans-7-15", "nlmeans=s={0:g}:p=7:r=15", (Knob("s", 0.42, 1, 30),), 24),
    "hqdn3d": FfmpegFilter(
        "hqdn3d",
        "hqdn3d={0:g}:{0:g}:{1:g}:{1:g}",
        (Knob("spatial", 1.8, 0.1, 200), Knob("temporal", 0.8, 0.1, 200)),
    ),
    "owdenoise": FfmpegFilter("owdenoise", "owdenoise=ls={0:g}:cs={0:g}", (Knob("ls", 0.7, 0.1, 500),), 8),
    "bm3d": FfmpegFilter("bm3d", "bm3d=sigma={0:g}:estim=basic", (Knob("sigma", 2.2, 0.1, 99.9),), 12),
    "opencv": OpenCv(),
}


def missing_reason(name: str) -> str | None:
    """Why a peer cannot run here; None if it can."""
    peer = PEERS[name]
    if not isinstance(peer, FfmpegFilter):
        return None
    known = peer.template.partition("=")[0]
    listing = subprocess.run([*FFMPEG, "-filters"], capture_output=True, text=True, check=True).stdout
    filters = {line.split()[1] for line in listing.splitlines() if len(line.split()) > 2}
    return None if known in filters else f"this machine's ffmpeg has no filter {known}"
