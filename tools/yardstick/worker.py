"""Denoise raw yuv420p frames in this process, and print what it took as JSON. Started by ``worker_run``.

The first frame, which pays for start-up, is denoised but not timed; reading and writing are not timed either.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]
"""(H * 3 // 2, W): Y, then U and V."""

Timed = Callable[[Picture], tuple[Picture, float, float]]
"""A frame to a clean frame, and the seconds of denoising and of conversion."""


def ours(strength: str, model: str, backend: str = "auto") -> Timed:
    """malle-rt through its public API; the planes are its native format, so nothing is converted."""
    # Imported here, as cv2 below, so that each denoiser's memory is its own.
    from malle_rt.api import open_denoiser
    from malle_rt.config import DenoiseConfig
    from malle_rt.frame import ColorTags, Frame

    bt709 = ColorTags(color_range=1, colorspace=1, primaries=1, transfer=1)
    amount = "auto" if strength == "auto" else float(strength)
    denoiser, _ = open_denoiser(DenoiseConfig(model=model, strength=cast(float, amount), backend=backend))
    index = 0

    def denoise(picture: Picture) -> tuple[Picture, float, float]:
        nonlocal index
        frame = Frame(_planes(picture), "yuv420p", index, Fraction(1, 25), 1, bt709)
        index += 1
        start = time.perf_counter()
        clean = denoiser.start(frame)()
        seconds = time.perf_counter() - start
        flat = np.concatenate([plane.reshape(-1) for plane in clean.planes])
        return flat.astype(np.uint8, copy=False).reshape(picture.shape), seconds, 0.0

    return denoise


def opencv(h: str, h_color: str) -> Timed:
    """OpenCV's non-local means, on BGR."""
    import cv2

    from malle_rt.bench.peers import reformatted

    def denoise(picture: Picture) -> tuple[Picture, float, float]:
        start = time.perf_counter()
        image = reformatted(picture, "yuv420p", "bgr24")
        begun = time.perf_counter()
        clean = cv2.fastNlMeansDenoisingColored(image, None, float(h), float(h_color))
        ended = time.perf_counter()
        result = reformatted(clean.astype(np.uint8, copy=False), "bgr24", "yuv420p")
        return result, ended - begun, begun - start + time.perf_counter() - ended

    return denoise


def _planes(picture: Picture) -> tuple[Picture, Picture, Picture]:
    height, width = picture.shape[0] * 2 // 3, picture.shape[1]
    u, v = picture[height:].reshape(2, height // 2, width // 2)
    return picture[:height], u, v


def denoise_file(
    denoise: Timed, source: BinaryIO, output: BinaryIO, shape: tuple[int, int]
) -> dict[str, Any]:
    """Frame by frame, so that memory is the denoiser's own; the times of all frames but the first."""
    times: list[tuple[float, float]] = []
    while data := source.read(shape[0] * shape[1]):
        clean, seconds, conversion = denoise(np.frombuffer(data, np.uint8).reshape(shape))
        output.write(clean.tobytes())
        times.append((seconds, conversion))
    timed = times[1:]
    return {
        "frames": len(timed),
        "denoise": sum(seconds for seconds, _ in timed),
        "convert": sum(conversion for _, conversion in timed),
        "seconds": [seconds for seconds, _ in timed],
    }


def transcode(source: str, output: str, model: str, strength: str, backend: str) -> None:
    """A file through the API; the pipeline's report is printed."""
    from malle_rt import denoise_video
    from malle_rt.config import DenoiseConfig

    amount = "auto" if strength == "auto" else float(strength)
    config = DenoiseConfig(model=model, strength=cast(float, amount), backend=backend)
    report = denoise_video(source, output, config=config, overwrite=True).pipeline
    print(json.dumps({"fps": report.fps, "seconds": report.seconds, "busy": report.busy}))


def main() -> None:
    """``worker.py ours|opencv NOISY OUTPUT WIDTH HEIGHT [option ...]``, or ``worker.py transcode ...``."""
    if sys.argv[1] == "transcode":
        transcode(*sys.argv[2:])
        return
    kind, noisy, output, width, height, *options = sys.argv[1:]
    denoisers: dict[str, Callable[..., Timed]] = {"ours": ours, "opencv": opencv}
    denoise = denoisers[kind](*options)
    shape = (int(height) * 3 // 2, int(width))
    with Path(noisy).open("rb") as source, Path(output).open("wb") as sink:
        print(json.dumps(denoise_file(denoise, source, sink, shape)))


if __name__ == "__main__":
    main()
