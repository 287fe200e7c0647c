"""Raw pictures through an encoder and back: what H.264 and MJPEG leave of them."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

import av
import numpy as np
import numpy.typing as npt
from av.video.codeccontext import VideoCodecContext

__all__ = ["h264", "mjpeg"]

Pictures = npt.NDArray[np.uint8]
"""(T, H * 3 // 2, W): Y, then U and V, as FFmpeg stores raw yuv420p; H even, W a multiple of 4."""


def h264(pictures: Pictures, *, crf: float, preset: str = "medium") -> Pictures:
    """What x264 leaves at a constant rate factor; its presets are named as x264 does.

    The same frames do not always give the same bytes: on a busy machine a few runs in a hundred differ a little.
    """
    encoder = _context("libx264", "w")
    encoder.options = {"crf": f"{crf:.1f}", "preset": preset, "x264-params": "log-level=none"}
    return _through(encoder, _context("h264", "r"), pictures, "yuv420p")


def mjpeg(pictures: Pictures, *, quantiser: int) -> Pictures:
    """What FFmpeg's MJPEG encoder leaves at a quantiser of 1 (best) to 31."""
    encoder = _context("mjpeg", "w")
    encoder.qmin = encoder.qmax = quantiser
    return _through(encoder, _context("mjpeg", "r"), pictures, "yuvj420p")


def _context(codec: str, mode: Literal["r", "w"]) -> VideoCodecContext:
    context = VideoCodecContext.create(codec, mode)
    assert isinstance(context, VideoCodecContext)
    context.thread_count = 1  # a sequence is small
    return context


def _through(
    encoder: VideoCodecContext, decoder: VideoCodecContext, pictures: Pictures, pix_fmt: str
) -> Pictures:
    encoder.width, encoder.height = pictures.shape[2], pictures.shape[1] * 2 // 3
    encoder.pix_fmt = pix_fmt
    encoder.framerate = Fraction(25)
    frames: list[av.VideoFrame] = []
    for number, picture in enumerate(pictures):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format=pix_fmt)
        frame.pts = number
        for packet in encoder.encode(frame):
            frames += decoder.decode(packet)
    for packet in encoder.encode(None):
        frames += decoder.decode(packet)
    frames += decoder.decode(None)
    return np.stack([frame.to_ndarray().astype(np.uint8, copy=False) for frame in frames])
