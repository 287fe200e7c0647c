"""Where PyAV versions differ, asked in one place: we run on 17.1 and newer; Python 3.10 gets no newer one."""

from __future__ import annotations

from typing import Any

import av
from av.container import OutputContainer

__all__ = ["add_copy", "can_keep_on_gpu"]


def add_copy(container: OutputContainer, source: Any) -> Any:
    """Add a stream for packets of ``source`` as they are.

    Without ``opaque``, PyAV looks for an encoder of a video stream's codec, and FFmpeg may have none.
    """
    return container.add_stream_from_template(source, opaque=True)


def can_keep_on_gpu() -> bool:
    """Whether decoders and encoders can leave pictures on a GPU and say what these hold (PyAV 18).

    PyAV 17 does a part of it, but its encoders bring each picture to host memory without a word.
    """
    return hasattr(av.VideoFrame, "sw_format")
