"""Make the small noisy clip that the repository carries.

    python tools/noisy_sample.py CLEAN OUT --sigma 20 --start 20 --frames 60 --size 640x360

White Gaussian noise of SIGMA is added in RGB, as a sensor would, before the conversion to 4:2:0 and H.264.
"""

from __future__ import annotations

import argparse
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clean", type=Path, help="a clean video")
    parser.add_argument("out", type=Path, help="the noisy clip to write")
    parser.add_argument("--sigma", type=float, default=20, help="standard deviation, 8-bit scale")
    parser.add_argument("--start", type=int, default=0, help="first frame")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--size", default="640x360", help="WIDTHxHEIGHT")
    parser.add_argument("--crf", type=int, default=24)
    parser.add_argument("--credit", default="", help="stored in the file's copyright tag")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    rng = np.random.default_rng(0)
    with av.open(str(options.clean)) as source, av.open(str(options.out), "w") as out:
        video = source.streams.video[0]
        rate = Fraction(video.average_rate or 25)
        stream = out.add_stream("libx264", rate=rate, options={"crf": str(options.crf), "preset": "slow"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.color_range, stream.codec_context.colorspace = 1, 1  # limited, BT.709
        out.metadata["copyright"] = options.credit
        for number, frame in enumerate(source.decode(video)):
            if number >= options.start + options.frames:
                break
            if number < options.start:
                continue
            rgb = frame.to_ndarray(format="rgb24", width=width, height=height)
            noisy = rgb + rng.normal(0, options.sigma, rgb.shape)
            picture = av.VideoFrame.from_ndarray(
                np.clip(np.rint(noisy), 0, 255).astype(np.uint8), format="rgb24"
            ).reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)
            picture.pts, picture.time_base = number - options.start, 1 / rate
            out.mux(stream.encode(picture))
        out.mux(stream.encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
