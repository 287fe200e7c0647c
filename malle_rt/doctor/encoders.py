"""Encoders tried with a real frame, since a name alone says nothing; in a process of its own.

Drivers of hardware encoders have been known to end the process, and software ones write to standard error.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av
from av.video.codeccontext import VideoCodecContext

from malle_rt.child import ChildEndedError, call, serve
from malle_rt.media.scheduling import kept_scheduling

__all__ = ["CODECS", "try_encoder", "try_encoders"]

CODECS = (
    *("libx264", "libx265", "libsvtav1", "libvpx-vp9", "ffv1"),
    *("h264_nvenc", "hevc_nvenc", "av1_nvenc", "h264_qsv", "h264_vaapi", "h264_v4l2m2m", "h264_videotoolbox"),
)
_SIZE = (256, 256)  # the least that every hardware encoder takes
_LIMIT = 60  # seconds for all of them


def try_encoders() -> dict[str, str]:
    """Why each of ``CODECS`` does not work here; "" for those that do."""
    found: dict[str, str] = {}
    try:
        call("malle_rt.doctor.encoders", None, found.update, limit=_LIMIT)
    except ChildEndedError as exc:
        return {codec: found.get(codec, f"its trial {exc}") for codec in CODECS}
    return found


def try_encoder(codec: str) -> str:
    """Encode one grey frame; "" when it works, else why it does not."""
    try:
        context = av.CodecContext.create(codec, "w")
    except (ValueError, av.error.FFmpegError):
        return "not in this FFmpeg"
    assert isinstance(context, VideoCodecContext)
    try:
        context.width, context.height = _SIZE
        context.pix_fmt = "yuv420p"
        context.time_base = Fraction(1, 25)
        frame = av.VideoFrame(*_SIZE, "yuv420p")
        for plane in frame.planes:
            plane.update(bytes([128]) * plane.buffer_size)
        frame.pts = 0
        with kept_scheduling():
            context.open()
        packets = [*context.encode(frame), *context.encode(None)]
    except (av.error.FFmpegError, OSError, ValueError) as exc:
        return f"it does not start ({getattr(exc, 'strerror', None) or exc})"
    return "" if any(packet.size for packet in packets) else "it gives no packet"


def _try_all(_: Any, tell: Callable[[Any], None]) -> None:
    for codec in CODECS:
        tell({codec: try_encoder(codec)})


if __name__ == "__main__":
    serve(_try_all)
