"""How well interlaced video is denoised: a clip woven into fields, with noise, beside its fields one by one.

    python tools/interlaced_quality.py CLIP [--sigma 12] [--size 640x360] [--frames 60] [--png DIR]

CLIP (a video file or a folder of pictures) is taken for progressive video at the rate of the fields: even pictures give
the top fields, odd ones the bottom fields. White Gaussian noise of SIGMA is added to the planes, 8-bit 4:2:0. Printed
are PSNR-Y in dB of the woven frames: noisy, denoised as if they were progressive, each parity's fields denoised as a
video of its own, and as malle-rt does it. Then PSNR-Y of what ``bwdif`` makes of noisy and of denoised frames, against
the pictures that the fields were taken from; "worse" counts pictures that are worse than the noisy input's.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from trainset import load_clip
from yardstick.clips import fitted, to_yuv420p
from yardstick.raw import to_frame

from malle_rt.api import open_denoiser
from malle_rt.config import DenoiseConfig
from malle_rt.errors import MalleError
from malle_rt.fields import split_fields, weave_fields
from malle_rt.frame import Frame, Plane
from malle_rt.measuring import psnr
from malle_rt.media.deinterlace import Deinterlacer
from malle_rt.media.interlacing import FieldMarker
from malle_rt.media.planes import new_video_frame, view_planes

EDGE = 2  # pictures left out at each end: bwdif knows only one neighbour there


def main() -> int:
    """Run the command line."""
    options = parse()
    width, height = (int(side) for side in options.size.split("x"))
    try:
        pictures = to_yuv420p(fitted(load_clip(options.clip, options.frames), (width, height)))
        clean = [to_frame(picture, at) for at, picture in enumerate(pictures)]
        noisy = [with_noise(frame, options.sigma) for frame in clean]
        measure(clean, noisy, options)
    except MalleError as exc:
        print(f"interlaced_quality.py: {exc}", file=sys.stderr)
        return 1
    return 0


def parse() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clip", type=Path)
    parser.add_argument("--sigma", type=float, default=12.0, help="of the noise, 8-bit scale (12)")
    parser.add_argument("--strength", type=float, help="what the network is told (sigma)")
    parser.add_argument("--size", default="640x360", help="fit into WxH (640x360)")
    parser.add_argument("--frames", type=int, default=60, help="pictures, two for each woven frame (60)")
    parser.add_argument("--model", default="rt-s")
    parser.add_argument("--png", type=Path, help="write the middle frame of each row there")
    return parser.parse_args()


def measure(clean: list[Frame], noisy: list[Frame], options: argparse.Namespace) -> None:
    """Denoise in all ways, and print a row for each."""
    told = options.sigma if options.strength is None else options.strength
    config = DenoiseConfig(model=options.model, strength=told)
    truth, given = woven(clean), woven(noisy)
    halves = [split_fields(frame) for frame in given]
    tops, bottoms = (denoised([pair[parity] for pair in halves], config) for parity in (0, 1))
    alone = [
        weave_fields(frame, top.planes, bottom.planes)
        for frame, top, bottom in zip(given, tops, bottoms, strict=True)
    ]
    progressive = denoised([replace(frame, fields=None) for frame in given], config)
    rows = {
        "noisy": given,
        "as if progressive": [replace(frame, fields="top") for frame in progressive],
        "each field alone": alone,
        "malle-rt": denoised(given, config),
    }
    base = bwdif_scores(given, clean)
    print(f"{'':18} woven dB  bwdif dB  worse")
    for name, frames in rows.items():
        pairs = zip(frames, truth, strict=True)
        whole = np.mean([psnr(frame.planes[0], clear.planes[0]) for frame, clear in pairs])
        scores = bwdif_scores(frames, clean)
        worse = sum(score < least for score, least in zip(scores, base, strict=True))
        print(f"{name:18} {whole:8.2f}  {np.mean(scores):8.2f}  {worse} of {len(scores)}")
        if options.png is not None:
            options.png.mkdir(parents=True, exist_ok=True)
            write_png(options.png / f"{name.replace(' ', '_')}.png", frames[len(frames) // 2].planes[0])


def with_noise(frame: Frame, sigma: float) -> Frame:
    """White noise on all planes, rounded and clipped; seeded by the frame's number."""
    random = np.random.default_rng(frame.pts)
    planes = (plane + random.normal(0, sigma, plane.shape) for plane in frame.planes)
    return replace(frame, planes=tuple(np.rint(np.clip(plane, 0, 255)).astype(np.uint8) for plane in planes))


def woven(pictures: list[Frame]) -> list[Frame]:
    """Interlaced frames, top field first, of two progressive ones each."""
    return [
        replace(
            weave_fields(first, split_fields(first)[0].planes, split_fields(second)[1].planes), fields="top"
        )
        for first, second in zip(pictures[::2], pictures[1::2], strict=False)
    ]


def denoised(frames: list[Frame], config: DenoiseConfig) -> list[Frame]:
    """A video from a fresh state."""
    denoiser, _ = open_denoiser(config)
    try:
        return [denoiser.start(frame)() for frame in frames]
    finally:
        denoiser.close()


def bwdif_scores(frames: list[Frame], clean: list[Frame]) -> list[float]:
    """PSNR-Y in dB of each picture that bwdif makes of the fields."""
    deinterlacer, marker = Deinterlacer("field"), FieldMarker()
    found: list[Plane] = []
    for number, frame in enumerate(frames):
        picture = marker.marked(new_video_frame(frame.planes, frame.pix_fmt), "top")
        picture.pts, picture.time_base, picture.duration = number, Fraction(1, 25), 1
        found += [view_planes(each)[0].copy() for each in deinterlacer.pictures(picture)]
    found += [view_planes(each)[0].copy() for each in deinterlacer.drain()]
    wanted = [frame.planes[0] for frame in clean[: len(found)]]
    scores = [psnr(*pair) for pair in zip(found, wanted, strict=True)]
    return scores[EDGE:-EDGE]


def write_png(path: Path, luma: Plane) -> None:
    """One luma plane as a picture."""
    cv2.imwrite(str(path), luma)


if __name__ == "__main__":
    sys.exit(main())
