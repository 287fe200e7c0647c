"""Sequences through an encoder and back: what H.264 and MJPEG leave of them."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

import av
import numpy as np
import numpy.typing as npt
import torch
from av.video.codeccontext import VideoCodecContext

from malle_rt.net.noise import Planes420

__all__ = ["h264", "mjpeg", "through_encoder"]

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


MJPEG_SHARE = 0.2
MJPEG_QUANTISERS = (2, 10)  # of FFmpeg's 1 to 31
H264_CRF = (15, 33)
H264_PRESETS = ("superfast", "veryfast", "faster", "medium")


def through_encoder(planes: Planes420, generator: torch.Generator) -> Planes420:
    """Encode a sequence and decode it again, at a quality drawn at random.

    Args:
        planes: (T, 1, H, W) and (T, 2, H/2, W/2) on the 8-bit grid, [0, 1]; W a multiple of 4.
        generator: draws the encoder and its settings.
    """
    kind, quality, preset = torch.rand(3, generator=generator, device=generator.device).tolist()
    pictures = _pictures(planes)
    if kind < MJPEG_SHARE:
        low, high = MJPEG_QUANTISERS
        return _planes(mjpeg(pictures, quantiser=round(low + (high - low) * quality)), planes)
    low, high = H264_CRF
    name = H264_PRESETS[int(preset * len(H264_PRESETS))]
    return _planes(h264(pictures, crf=low + (high - low) * quality, preset=name), planes)


def _pictures(planes: Planes420) -> Pictures:
    frames, _, _, width = planes.y.shape
    flat = torch.cat([plane.reshape(frames, -1) for plane in planes], 1)
    pictures: Pictures = flat.mul(255).round().byte().reshape(frames, -1, width).cpu().numpy()
    return pictures


def _planes(pictures: Pictures, like: Planes420) -> Planes420:
    flat = torch.from_numpy(pictures).reshape(len(pictures), -1).to(like.y.device).float().div(255)
    luma, chroma = flat.split([like.y[0].numel(), like.uv[0].numel()], 1)
    return Planes420(luma.reshape(like.y.shape), chroma.reshape(like.uv.shape))
