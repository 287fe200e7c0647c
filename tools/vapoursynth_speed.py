"""What the filter costs inside VapourSynth, beside the pipeline of `transcode` without decoder and encoder.

    python tools/vapoursynth_speed.py --size 640x360 --frames 60 --rounds 5

Both denoise the same frames from memory and throw the results away, in turns, in one process. Times are of the
processor (all threads of the process), which other programs change less than those of a clock; the ratio is that of
medians.
Python 3.12 or newer, extra ``vapoursynth``.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np
import vapoursynth as vs

from malle_rt.api import open_denoiser
from malle_rt.config import DenoiseConfig
from malle_rt.frame import Frame, VideoInfo
from malle_rt.media.synthetic import SyntheticSource
from malle_rt.pipeline import Pipeline
from malle_rt.vapoursynth import denoise

DRAWN = 8  # different frames; they come again and again
STRENGTH = 10.0


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", default="640x360", metavar="WxH")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="of the network (1: no waiting among them)")
    options = parser.parse_args(words)
    width, height = map(int, options.size.split("x"))
    source = SyntheticSource(DRAWN, (width, height), noise_sigma=STRENGTH)
    frames = list(source)
    config = DenoiseConfig(strength=STRENGTH, threads=options.threads)
    clip = _clip(frames, width, height, options.frames)
    times: dict[str, list[float]] = {"pipeline": [], "vapoursynth": []}
    for _ in range(options.rounds):
        times["pipeline"].append(_pipeline(frames, source.info, options.frames, config))
        times["vapoursynth"].append(_vapoursynth(clip, config))
    middle = {name: round(1000 * median(each), 2) for name, each in times.items()}
    ratio = round(middle["vapoursynth"] / middle["pipeline"], 3)
    print(json.dumps({"size": options.size, "frames": options.frames, "cpu_ms": middle, "ratio": ratio}))
    return 0


class _Memory:
    """A source of frames that are there already, and a sink that keeps none."""

    def __init__(self, frames: Sequence[Frame], info: VideoInfo, count: int) -> None:
        self.info = info
        self._frames, self._count = frames, count

    def __iter__(self) -> Iterator[Frame]:
        for number in range(self._count):
            yield replace(self._frames[number % DRAWN], pts=number)

    def write(self, item: object) -> None:
        """Forget it."""

    def interrupt(self) -> None:
        """Nothing waits."""

    finish = abort = close = interrupt


def _pipeline(frames: Sequence[Frame], info: VideoInfo, count: int, config: DenoiseConfig) -> float:
    """Processor seconds of a frame, opening not counted."""
    denoiser, _ = open_denoiser(config)
    memory = _Memory(frames, info, count)
    try:
        denoiser.start(frames[0])()
        begin = time.process_time()
        Pipeline(memory, denoiser, memory).run()
        return (time.process_time() - begin) / count
    finally:
        denoiser.close()


def _vapoursynth(clip: vs.VideoNode, config: DenoiseConfig) -> float:
    cleaned = denoise(clip, strength=STRENGTH, threads=config.threads)
    cleaned.get_frame(0).close()
    begin = time.process_time()
    for frame in cleaned.frames(close=True):
        del frame
    return (time.process_time() - begin) / int(clip.num_frames)


def _clip(frames: Sequence[Frame], width: int, height: int, count: int) -> vs.VideoNode:
    """The frames as a clip that is served from memory."""
    blank = vs.core.std.BlankClip(width=width, height=height, format=vs.YUV420P8, length=DRAWN)

    def draw(n: int, f: Any) -> Any:
        made = f.copy()
        for plane, samples in enumerate(frames[n].planes):
            np.copyto(np.asarray(made[plane]), samples)
        return made

    kept = list(blank.std.ModifyFrame(blank, draw).frames())
    served = blank.std.ModifyFrame(blank, lambda n, f: kept[n])
    return (served * -(-count // DRAWN))[:count]


if __name__ == "__main__":
    sys.exit(main())
