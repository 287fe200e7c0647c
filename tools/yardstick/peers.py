"""The tools that are compared: malle-rt, ffmpeg's filters, OpenCV and VapourSynth, each in a process of its own.

VapourSynth lives in a Python environment of its own:

    python3.12 -m venv vs && vs/bin/pip install vapoursynth vapoursynth-bm3d vapoursynth-nlm-ispc
    vs/bin/pip install vapoursynth-mvutensils numpy
"""

from __future__ import annotations

import io
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from yardstick.process import FFMPEG, TIMEOUT, measure
from yardstick.raw import RawVideo
from yardstick.tool import DenoiseRun, Knob, Setting, Tool

__all__ = [
    "ENCODER",
    "PEERS",
    "VAPOURSYNTH",
    "WORKER",
    "FfmpegFilter",
    "MalleRt",
    "OpenCv",
    "VapourSynth",
    "missing_reason",
    "run_worker",
    "vapoursynth_peers",
    "vapoursynth_reason",
]

WORKER = Path(__file__).with_name("worker.py")
PROGRAM = (sys.executable, str(WORKER))


def run_worker(
    denoiser: str, noisy: RawVideo, output: Path | None, *options: str, program: tuple[str, str] = PROGRAM
) -> DenoiseRun:
    """Denoise raw frames in a Python process of its own.

    Args:
        denoiser: "ours" or "opencv", or what another program knows.
        noisy: at least two frames, since the first is not timed.
        output: path of the raw result; None: it is thrown away.
        options: what the denoiser takes.
        program: an interpreter and its worker.
    """
    width, height = noisy.size
    files = [str(noisy.path), str(output or os.devnull), str(width), str(height)]
    usage = measure([*program, denoiser, *files, *options])
    times = json.loads(usage.stdout)
    return DenoiseRun(
        fps=times["frames"] / times["denoise"],
        convert_fps=times["frames"] / (times["denoise"] + times["convert"]),
        usage=usage,
        frame_seconds=tuple(times.get("seconds", ())),
    )


# Strength is the noise of luma: white RGB noise of sigma 1 has 0.65 in BT.709 luma of limited range.
STRENGTH = Knob("strength", 0.65, 0.5, 75)


@dataclass(frozen=True)
class MalleRt:
    """malle-rt, through its API and its program.

    Attributes:
        model: the network.
        strength: as ``--strength``; None: tuned, as the peers are.
        backend: as ``--backend``.
    """

    name: str
    model: str
    strength: str | None
    frame_limit: int | None = None
    backend: str = "auto"

    @property
    def knobs(self) -> tuple[Knob, ...]:
        """The strength, if it is to be tuned."""
        return () if self.strength else (STRENGTH,)

    def label(self, setting: Setting) -> str:
        """The option."""
        return f"--strength {self._strength(setting)}"

    def denoise(self, noisy: RawVideo, output: Path | None, setting: Setting) -> DenoiseRun:
        """Timed inside the process, around the calls of the API."""
        return run_worker("ours", noisy, output, self._strength(setting), self.model, self.backend)

    def frame_seconds(self, noisy: RawVideo, setting: Setting) -> list[float]:
        """From a frame's start to its end, one after the other."""
        return list(self.denoise(noisy, None, setting).frame_seconds)

    def transcode_command(self, source: Path, output: Path, setting: Setting) -> list[str]:
        """The main job."""
        program = [
            sys.executable,
            "-m",
            "malle_rt",
            "transcode",
            str(source),
            str(output),
            "--overwrite",
            "-q",
        ]
        return [
            *program,
            "--model",
            self.model,
            "--strength",
            self._strength(setting),
            "--backend",
            self.backend,
        ]

    def _strength(self, setting: Setting) -> str:
        return self.strength or f"{setting[0]:g}"


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


VAPOURSYNTH_WORKER = Path(__file__).with_name("vapoursynth_worker.py")


@dataclass(frozen=True)
class VapourSynth:
    """A filter of ``vapoursynth_worker``, with a strength for luma and one for chroma.

    Attributes:
        option: what the filter calls its strength.
        python: the interpreter that has VapourSynth.
    """

    name: str
    option: str
    knobs: tuple[Knob, ...]
    python: str
    frame_limit: int | None = None

    def label(self, setting: Setting) -> str:
        """Luma's strength and chroma's."""
        luma, chroma = setting
        return f"{self.name} {self.option}={luma:g},{chroma:g}"

    def denoise(self, noisy: RawVideo, output: Path | None, setting: Setting) -> DenoiseRun:
        """Timed inside the process, all frames."""
        strengths = [f"{value:g}" for value in setting]
        return run_worker(
            self.name, noisy, output, *strengths, program=(self.python, str(VAPOURSYNTH_WORKER))
        )

    def transcode_command(self, source: Path, output: Path, setting: Setting) -> None:
        """It needs a source filter and a pipe to an encoder: no single program."""


# Where the search begins is what white noise wants; chroma of 4:2:0 has about a third of it.
VAPOURSYNTH = {
    "vbm3d": ("sigma", Knob("sigma", 0.8, 0.1, 250), Knob("sigma chroma", 0.5, 0.1, 250, judge=1)),
    "nlm-ispc": ("h", Knob("h", 1.2, 0.1, 250), Knob("h chroma", 0.8, 0.1, 250, judge=1)),
    "mvdegrain3": ("thsad", Knob("thsad", 32, 10, 16320), Knob("thsad chroma", 32, 10, 16320, judge=1)),
}


def vapoursynth_peers(python: Path) -> dict[str, Tool]:
    """The filters, by name, as that interpreter runs them."""
    return {
        name: VapourSynth(name, option, knobs, str(python))
        for name, (option, *given) in VAPOURSYNTH.items()
        for knobs in [tuple(given)]
    }


def vapoursynth_reason(python: Path) -> str | None:
    """Why that interpreter cannot run them; None if it can."""
    try:
        done = subprocess.run(
            [python, VAPOURSYNTH_WORKER, "--check"], capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        return str(exc)
    return (done.stderr.strip().splitlines() or ["it failed"])[-1] if done.returncode else None
