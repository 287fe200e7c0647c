"""Denoise raw yuv420p frames with a filter of VapourSynth, and print what it took as JSON. Started by ``worker_run``.

    vapoursynth_worker.py FILTER NOISY OUTPUT WIDTH HEIGHT LUMA CHROMA
    vapoursynth_worker.py --check

It runs in an environment of its own, with VapourSynth, its filters and NumPy but nothing of malle-rt. The time counts
every frame, the first too: these filters work on many frames at once.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import vapoursynth as vs  # type: ignore[import-not-found, unused-ignore]  # it is elsewhere

core = vs.core
Node = Any
RADIUS = 3  # frames before and after, of V-BM3D and of MVDegrain


def vbm3d(clip: Node, luma: float, chroma: float) -> Node:
    """V-BM3D, both steps, each plane by itself; ``luma`` and ``chroma`` are sigmas, 8-bit scale.

    Planes become [0, 1] by a division alone, chroma too: a conversion of range would scale the sigmas.
    """

    def cleaned(plane: Node, sigma: float) -> Node:
        noisy = core.std.Expr(plane, "x 255 /", vs.GRAYS)
        options = {"sigma": sigma, "radius": RADIUS, "profile": "fast"}
        basic = core.bm3d.VAggregate(core.bm3d.VBasic(noisy, **options), radius=RADIUS, sample=1)
        final = core.bm3d.VFinal(noisy, basic, **options)
        final = core.bm3d.VAggregate(final, radius=RADIUS, sample=1)
        return core.std.Expr(final, "x 255 *", vs.GRAY8)  # it rounds and clamps

    y, u, v = core.std.SplitPlanes(clip)
    planes = [cleaned(y, luma), cleaned(u, chroma), cleaned(v, chroma)]
    return core.std.ShufflePlanes(planes, [0, 0, 0], vs.YUV)


def nlmeans(clip: Node, luma: float, chroma: float) -> Node:
    """Non-local means over two frames before and after; ``luma`` and ``chroma`` are its ``h``.

    Its first kind of weights gives NaN at a small ``h``: most likely all of them underflow, the pixel's own too.
    The second, modified bisquare, gave none, and was 0.6 dB better on the one clip where both were tried.
    """
    options = {"d": 2, "a": 4, "s": 3, "wmode": 1}
    clean = core.nlm_ispc.NLMeans(clip, h=luma, channels="Y", **options)
    return core.nlm_ispc.NLMeans(clean, h=chroma, channels="UV", **options)


def mvdegrain(clip: Node, luma: float, chroma: float) -> Node:
    """MVDegrain3; ``luma`` and ``chroma`` are ``thsad``: blocks that fit less well are not averaged.

    Motion is searched on a blurred copy, as is usual for noise; a scene change is never assumed (strong noise looks
    like one).
    """
    block = {"blksize": [16, 16], "overlap": [8, 8]}
    weights = [1, 2, 1, 2, 4, 2, 1, 2, 1]
    blurred = core.std.Convolution(core.std.Convolution(clip, weights), weights)
    vectors = core.mvu.AnalyseMany(core.mvu.Super(blurred, pel=2, **block), radius=RADIUS, **block)
    limits = {"thsad": [round(luma), round(chroma)], "thscd1": 16320}
    return core.mvu.Degrain3(clip, core.mvu.Super(clip, pel=2, **block), vectors, **limits)


FILTERS: dict[str, Callable[[Node, float, float], Node]] = {
    "vbm3d": vbm3d,
    "nlm-ispc": nlmeans,
    "mvdegrain3": mvdegrain,
}


def source(pictures: np.ndarray[Any, np.dtype[np.uint8]], width: int, height: int) -> Node:
    """Raw frames (T, H * 3 // 2, W) as a clip."""
    blank = core.std.BlankClip(
        None, width, height, vs.YUV420P8, len(pictures), fpsnum=25, fpsden=1, keep=True
    )

    def fill(n: int, f: Any) -> Any:
        frame, half = f.copy(), (2, height // 2, width // 2)
        planes = (pictures[n, :height], *pictures[n, height:].reshape(half))
        for number, plane in enumerate(planes):
            np.asarray(frame[number])[:] = plane
        return frame

    return core.std.ModifyFrame(blank, blank, fill)


def packed(frame: Any) -> bytes:
    """A frame as raw yuv420p."""
    return b"".join(np.asarray(frame[plane]).tobytes() for plane in range(3))


def main() -> None:
    """Denoise, or tell that every filter is there."""
    if sys.argv[1:] == ["--check"]:
        blank = core.std.BlankClip(None, 64, 64, vs.YUV420P8, 2)
        for build in FILTERS.values():
            build(blank, 1.0, 1.0)
        return
    name, noisy, output, width, height, *strengths = sys.argv[1:]
    shape = (-1, int(height) * 3 // 2, int(width))
    clip = source(np.fromfile(noisy, np.uint8).reshape(shape), int(width), int(height))
    luma, chroma = map(float, strengths)
    start = time.perf_counter()
    clean = [packed(frame) for frame in FILTERS[name](clip, luma, chroma).frames(close=True)]
    seconds = time.perf_counter() - start
    Path(output).write_bytes(b"".join(clean))
    print(json.dumps({"frames": len(clean), "denoise": seconds, "convert": 0.0}))


if __name__ == "__main__":
    main()
