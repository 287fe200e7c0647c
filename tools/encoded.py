"""What real encoders leave of a noisy sequence: H.264 as files and streams have it, MJPEG as webcams send it."""

from __future__ import annotations

import torch
from yardstick.codecs import Pictures, h264, mjpeg

from malle_rt.net.noise import Planes420

__all__ = ["through_encoder"]

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
