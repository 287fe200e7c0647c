"""Encoders tried with a real frame, since a name alone says nothing; in a process of its own.

Drivers of hardware encoders have been known to end the process, and software ones write to standard error.
"""

from __future__ import annotations

import json
import subprocess
import sys
from fractions import Fraction

import av
from av.video.codeccontext import VideoCodecContext

from malle_rt.child import module_command
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
    command = module_command("malle_rt.doctor.encoders")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT, check=False)
        output, ending = done.stdout, "its trial ended the process"
    except subprocess.TimeoutExpired as exc:
        output, ending = (exc.stdout or b"").decode(), f"its trial took longer than {_LIMIT} s"
    found: dict[str, str] = {}
    for line in output.splitlines():
        codec, problem = json.loads(line)
        found[codec] = problem
    return {codec: found.get(codec, ending) for codec in CODECS}


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


if __name__ == "__main__":
    for name in CODECS:
        sys.stdout.write(json.dumps([name, try_encoder(name)]) + "\n")
        sys.stdout.flush()
